package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/injectproxy/injectproxy/internal/ca"
	"github.com/injectproxy/injectproxy/internal/config"
)

func newCACommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ca",
		Short: "Show the certificate authority that clients have to trust",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newCAShowCommand())
	return cmd
}

func newCAShowCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Print the CA's files, fingerprint, constraints and expiry",
		Long: `show prints where the CA lies, the SHA-256 of its root as trust stores show it,
the hosts that it can sign for, how long it is valid, and how clients come to
trust it. It changes nothing.

Exit status: 0, or 1 if there is no CA yet or it cannot be used.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			home, err := config.Home()
			if err != nil {
				return err
			}
			description, err := describeCA(caDir(home))
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), description)
			}
			return description.print(cmd.OutOrStdout(), time.Now())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}

// caDescription is what there is to know about a CA, and its form in JSON.
type caDescription struct {
	File        string    `json:"file"`
	Bundle      string    `json:"bundle,omitempty"` // "" until serve has written it
	Subject     string    `json:"subject"`
	Fingerprint string    `json:"fingerprint_sha256"`
	Permit      caPermit  `json:"permit"`
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`

	permit ca.Permit
}

type caPermit struct {
	DNS []string       `json:"dns"`
	IP  []netip.Prefix `json:"ip"`
}

func describeCA(dir string) (*caDescription, error) {
	authority, err := ca.Open(dir, nil)
	if e, ok := errors.AsType[*ca.Error](err); ok {
		return nil, &failure{status: exitFailed, err: e, hint: e.Hint}
	}
	if err != nil {
		return nil, err
	}
	root, permit := authority.Root(), authority.Permit()
	d := &caDescription{
		File:        authority.RootFile(),
		Bundle:      filepath.Join(dir, "bundle.pem"),
		Subject:     root.Subject.CommonName,
		Fingerprint: authority.Fingerprint(),
		// In JSON nothing is [], not null.
		Permit:    caPermit{DNS: append([]string{}, permit.DNS...), IP: append([]netip.Prefix{}, permit.IPs...)},
		NotBefore: root.NotBefore,
		NotAfter:  root.NotAfter,
		permit:    permit,
	}
	if _, err := os.Stat(d.Bundle); errors.Is(err, fs.ErrNotExist) {
		d.Bundle = ""
	}
	return d, nil
}

func (d *caDescription) print(w io.Writer, now time.Time) error {
	bundle, replacing := "(written when serve starts)", ""
	if d.Bundle != "" {
		bundle = d.Bundle
		replacing = "  SSL_CERT_FILE=" + shellQuote(d.Bundle) + " …    (or CURL_CA_BUNDLE, REQUESTS_CA_BUNDLE, GIT_SSL_CAINFO)\n"
	}
	file := shellQuote(d.File)
	const day = 24 * time.Hour
	_, err := fmt.Fprintf(w, `root         %s
bundle       %s
name         %s
SHA-256      %s
signs for    %s; nothing else
valid until  %s (%d days)

have clients trust it:
  curl --cacert %s …
  NODE_EXTRA_CA_CERTS=%s node …
%s`, d.File, bundle, d.Subject, d.Fingerprint, d.permit,
		d.NotAfter.Format(time.DateOnly), d.NotAfter.Sub(now)/day, file, file, replacing)
	return err
}

// shellQuote returns s as one word of a POSIX shell: configuration
// directories have spaces in their names on some systems.
func shellQuote(s string) string {
	special := func(r rune) bool {
		return !(r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || strings.ContainsRune("/._-+:@%", r))
	}
	if s != "" && !strings.ContainsFunc(s, special) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
