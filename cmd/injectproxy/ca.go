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

	"al.essio.dev/pkg/shellescape"
	"github.com/spf13/cobra"

	"github.com/injectproxy/injectproxy/internal/ca"
	"github.com/injectproxy/injectproxy/internal/config"
)

func newCACommand(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ca",
		Short: "The certificate authority that clients have to trust",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newCAShowCommand(), newCAInstallCommand(), newCAUninstallCommand(), newCARotateCommand(g))
	return cmd
}

func newCAShowCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Print the CA's files, fingerprint, constraints and expiry",
		Long: `show prints where the CA lies, the SHA-256 of its root as trust stores show it,
the hosts that it can sign for, how long it is valid, and how clients come to
trust it; while it is being rotated, the same of the one that follows, and the
roots that nobody needs to trust any more. It changes nothing.

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
	File        string         `json:"file"`
	Bundle      string         `json:"bundle,omitempty"` // "" until serve has written it
	Subject     string         `json:"subject"`
	Fingerprint string         `json:"fingerprint_sha256"`
	Permit      caPermit       `json:"permit"`
	NotBefore   time.Time      `json:"not_before"`
	NotAfter    time.Time      `json:"not_after"`
	EndsSoon    bool           `json:"ends_soon"`
	Next        *caDescription `json:"next,omitempty"`    // during a rotation
	Retired     []string       `json:"retired,omitempty"` // fingerprints

	permit ca.Permit
}

type caPermit struct {
	DNS []string       `json:"dns"`
	IP  []netip.Prefix `json:"ip"`
}

// describeCA describes the CA in dir and what a rotation made of it.
func describeCA(dir string) (*caDescription, error) {
	authority, err := ca.Open(dir, nil)
	if err != nil {
		return nil, caFailure(err)
	}
	d := describeAuthority(authority)
	d.Bundle = filepath.Join(dir, "bundle.pem")
	if _, err := os.Stat(d.Bundle); errors.Is(err, fs.ErrNotExist) {
		d.Bundle = ""
	}
	switch next, err := ca.Next(dir, nil); {
	case err == nil:
		d.Next = describeAuthority(next)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, caFailure(err)
	}
	retired, err := ca.Retired(dir)
	for _, root := range retired {
		d.Retired = append(d.Retired, ca.Fingerprint(root))
	}
	return d, err
}

func describeAuthority(authority *ca.Authority) *caDescription {
	root, permit := authority.Root(), authority.Permit()
	return &caDescription{
		File:        authority.RootFile(),
		Subject:     root.Subject.CommonName,
		Fingerprint: authority.Fingerprint(),
		// In JSON nothing is [], not null.
		Permit:    caPermit{DNS: append([]string{}, permit.DNS...), IP: append([]netip.Prefix{}, permit.IPs...)},
		NotBefore: root.NotBefore,
		NotAfter:  root.NotAfter,
		EndsSoon:  authority.EndsSoon(),
		permit:    permit,
	}
}

// caFailure is an error of package ca with its remedy.
func caFailure(err error) error {
	if e, ok := errors.AsType[*ca.Error](err); ok {
		return &failure{status: exitFailed, err: e, hint: e.Hint}
	}
	return err
}

func (d *caDescription) print(w io.Writer, now time.Time) error {
	bundle, replacing := "(written when serve starts)", ""
	if d.Bundle != "" {
		bundle = d.Bundle
		replacing = "  SSL_CERT_FILE=" + shellescape.Quote(d.Bundle) + " …    (or CURL_CA_BUNDLE, REQUESTS_CA_BUNDLE, GIT_SSL_CAINFO)\n"
	}
	file := shellescape.Quote(d.File)
	var b strings.Builder
	fmt.Fprintf(&b, "root         %s\nbundle       %s\n", d.File, bundle)
	d.printFacts(&b, now)
	if d.EndsSoon && d.Next == nil {
		fmt.Fprintf(&b, "\nIt ends soon. What makes another: injectproxy ca rotate\n")
	}
	if d.Next != nil {
		fmt.Fprintf(&b, "\nits successor, in use after injectproxy ca rotate --finish and to be trusted by then:\n"+
			"root         %s\n", d.Next.File)
		d.Next.printFacts(&b, now)
	}
	if len(d.Retired) > 0 {
		fmt.Fprintf(&b, "\nretired, so clients need it no longer (injectproxy ca uninstall --retired):\nSHA-256      %s\n", strings.Join(d.Retired, "\n             "))
	}
	fmt.Fprintf(&b, `
have clients trust it:
  injectproxy ca install
  curl --cacert %s …
  NODE_EXTRA_CA_CERTS=%s node …
%s`, file, file, replacing)
	_, err := io.WriteString(w, b.String())
	return err
}

// printFacts prints what can be said of any CA.
func (d *caDescription) printFacts(w io.Writer, now time.Time) {
	const day = 24 * time.Hour
	fmt.Fprintf(w, `name         %s
SHA-256      %s
signs for    %s; nothing else
valid until  %s (%d days)
`, d.Subject, d.Fingerprint, d.permit, d.NotAfter.Format(time.DateOnly), d.NotAfter.Sub(now)/day)
}
