package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
)

// harden goes before anything that gets tokens: it refuses a runtime that was
// told to print them, and turns core dumps off, or says that it cannot. exec
// does the first alone: its command would inherit the limit, and on Linux no
// core comes of a process that is sealed.
func harden(stderr io.Writer) error {
	if err := refuseDebugging(os.Getenv("GODEBUG")); err != nil {
		return err
	}
	if err := limitCores(); err != nil {
		fmt.Fprintf(stderr, "warning: %v\n", err)
	}
	return nil
}

// refuseDebugging refuses what has net/http write the headers of HTTP/2, and so
// tokens, to stderr. It is read before main begins, so unsetting it here would
// come too late. The search is net/http's own.
func refuseDebugging(godebug string) error {
	if !strings.Contains(godebug, "http2debug=1") && !strings.Contains(godebug, "http2debug=2") {
		return nil
	}
	return &failure{
		status: exitUsage,
		err:    errors.New("GODEBUG=http2debug would write tokens to stderr"),
		hint:   "unset GODEBUG; a command of exec can have its own: injectproxy exec -- env GODEBUG=http2debug=1 CMD",
	}
}

// weakening says of settings of the Go runtime what they take away.
var weakening = map[string]string{
	"cryptocustomrand=1":     "keys may come of a source that is not random",
	"execerrdot=0":           "a program may be taken from the current directory",
	"http2client=0":          "upstreams are not spoken to in HTTP/2",
	"http2server=0":          "clients are not spoken to in HTTP/2",
	"httplaxcontentlength=1": "an empty Content-Length is taken for none",
	"httpmuxgo121=1":         "the status page is read by the rules of another time",
	"rsa1024min=0":           "keys that can be broken are accepted",
	"tls3des=1":              "3DES is accepted",
	"tlsmlkem=0":             "what is recorded today may be read by a quantum computer",
	"tlsrsakex=1":            "a stolen key opens what was recorded before",
	"tlssecpmlkem=0":         "what is recorded today may be read by a quantum computer",
	"tlssha1=1":              "signatures that can be forged are accepted",
	"tlsunsafeekm=1":         "connections may be confused with each other",
	"urlstrictcolons=0":      "hosts with stray colons are accepted",
	"x509negativeserial=1":   "malformed certificates are accepted",
	"x509usepolicies=0":      "certificate policies are not looked at",
}

// warnOfWeakening tells of each setting in GODEBUG that makes the proxy weaker
// than it is meant to be.
func warnOfWeakening(log *slog.Logger, godebug string) {
	for setting := range strings.SplitSeq(godebug, ",") {
		if why := weakening[strings.TrimSpace(setting)]; why != "" {
			log.Warn("GODEBUG weakens the proxy: unset it", "setting", strings.TrimSpace(setting), "effect", why)
		}
	}
}
