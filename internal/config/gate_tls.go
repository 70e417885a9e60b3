package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/url"
	"os"
	"strings"
	"time"
)

// soon is how long before the end of a certificate its renewal is overdue:
// certificates of 90 days are renewed with 30 left.
const soon = 14 * 24 * time.Hour

// tls reads [tls], and the pair of files that it names.
func (g *Gate) tls(t *table) {
	g.TLS.Cert, g.TLS.Key = t.optionalFile("cert"), t.optionalFile("key")
	t.done()
	switch at := t.at("cert"); {
	case g.TLS.Cert == "" && g.TLS.Key == "":
	case g.TLS.Cert == "":
		t.errorf(t.at("key"), "[tls] has key and no cert")
	case g.TLS.Key == "":
		t.errorf(at, "[tls] has cert and no key")
	case t.elsewhere:
	default:
		leaf, key, err := pair(g.TLS.Cert, g.TLS.Key)
		if err != nil {
			at = t.at(key)
			t.errorf(at, "tls.%s %v", key, err)
			return
		}
		renewal(t, leaf, g.PublicURL, time.Now())
	}
}

// pair reads a certificate and its key. The error is of the key that is named,
// and shows nothing of the files.
func pair(cert, key string) (leaf *x509.Certificate, of string, err error) {
	if err := checkPEM(cert); err != nil {
		return nil, "cert", err
	}
	chain, err := os.ReadFile(cert)
	if err != nil {
		return nil, "cert", errors.New("cannot be read: " + cause(err))
	}
	private, err := os.ReadFile(key)
	if err != nil {
		return nil, "key", errors.New("cannot be read: " + cause(err))
	}
	both, err := tls.X509KeyPair(chain, private)
	switch {
	case err != nil && strings.Contains(err.Error(), "does not match"):
		return nil, "key", errors.New("is not the key of the first certificate in cert")
	case err != nil:
		return nil, "key", errors.New("holds no PEM key that can be used (without a password)")
	}
	return both.Leaf, "", nil
}

// renewal warns of a certificate that clients would refuse.
func renewal(t *table, leaf *x509.Certificate, public *url.URL, now time.Time) {
	at := t.at("cert")
	t.lifetime("cert", leaf, now)
	if public != nil && leaf.VerifyHostname(public.Hostname()) != nil {
		t.warnf(at, "tls.cert is not for %s, the host of public_url", public.Hostname()).hint("right only if something in front of the gate ends the clients' TLS")
	}
	if public != nil && public.Scheme == "http" {
		t.warnf(at, "public_url is http, and with [tls] the port speaks TLS alone").hint("https in public_url, or no [tls]")
	}
}

// lifetime warns of a certificate that is not valid, or soon will not be.
func (t *table) lifetime(key string, leaf *x509.Certificate, now time.Time) {
	at, name, last := t.at(key), t.name(key), leaf.NotAfter.UTC().Format(time.DateOnly)
	switch left := leaf.NotAfter.Sub(now); {
	case left <= 0:
		t.warnf(at, "%s expired on %s", name, last).hint("renew it: the gate takes up new files by itself")
	case left < soon:
		t.warnf(at, "%s expires on %s", name, last).hint("renew it: the gate takes up new files by itself")
	case now.Before(leaf.NotBefore):
		t.warnf(at, "%s is valid from %s only", name, leaf.NotBefore.UTC().Format(time.DateOnly))
	}
}
