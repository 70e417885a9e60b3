package main

import (
	"crypto/x509"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/injectproxy/injectproxy/internal/ca"
	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/trust"
)

func newCAInstallCommand() *cobra.Command {
	var c trustChange
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Have the trust stores of this machine trust the CA",
		Long: `install has the store of the system, the NSS databases of your browsers and the
Javas that it finds trust the root of your CA, and during a rotation that of the
next one too. It prints the commands, runs them, and sees whether they did it.
What is trusted already is left alone. It never runs sudo: what takes root is
printed for you to run.

Clients that have a setting for it need no store: see injectproxy ca show.

Exit status: 0 if all of them trust the CA, 1 otherwise, 2 for a wrong --store.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := homeOfCA()
			if err != nil {
				return err
			}
			if c.roots, err = rootsToTrust(dir); err != nil {
				return err
			}
			return c.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	c.flags(cmd)
	return cmd
}

func newCAUninstallCommand() *cobra.Command {
	c := trustChange{removing: true}
	retired := false
	cmd := &cobra.Command{
		Use:   "uninstall",
		Short: "Take the CA out of the trust stores of this machine",
		Long: `uninstall takes the roots of your CA out of the stores that install puts them
into: the one in use, the next one, and those that a rotation has retired, by
their fingerprints and nothing else. It prints the commands, runs them, and sees
whether they did it. It never runs sudo: what takes root is printed for you to
run. The CA itself stays where it is.

Exit status: 0 if none of them trusts the CA any more, 1 otherwise, 2 for a
wrong --store.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := homeOfCA()
			if err != nil {
				return err
			}
			if c.roots, err = rootsToForget(dir, retired); err != nil {
				return err
			}
			return c.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	c.flags(cmd)
	cmd.Flags().BoolVar(&retired, "retired", false, "only the roots that a rotation has retired")
	return cmd
}

func homeOfCA() (string, error) {
	home, err := config.Home()
	if err != nil {
		return "", err
	}
	return filepath.Abs(caDir(home)) // the commands are run anywhere
}

// trustedRoot is a root and the file that holds it; there is none for a root
// that is to be forgotten.
type trustedRoot struct {
	*x509.Certificate
	file string
}

func rootsToTrust(dir string) ([]trustedRoot, error) {
	authority, err := ca.Open(dir, nil)
	if err != nil {
		return nil, caFailure(err)
	}
	roots := []trustedRoot{{authority.Root(), authority.RootFile()}}
	next, err := ca.Next(dir, nil)
	if err == nil {
		roots = append(roots, trustedRoot{next.Root(), next.RootFile()})
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, caFailure(err)
	}
	return roots, nil
}

// rootsToForget takes a CA that cannot be used for none: that must not keep
// anybody from forgetting the others.
func rootsToForget(dir string, onlyRetired bool) (roots []trustedRoot, err error) {
	if !onlyRetired {
		for _, open := range []func() (*ca.Authority, error){
			func() (*ca.Authority, error) { return ca.Open(dir, nil) },
			func() (*ca.Authority, error) { return ca.Next(dir, nil) },
		} {
			if authority, err := open(); err == nil {
				roots = append(roots, trustedRoot{Certificate: authority.Root()})
			}
		}
	}
	retired, err := ca.Retired(dir)
	for _, root := range retired {
		roots = append(roots, trustedRoot{Certificate: root})
	}
	if err == nil && len(roots) == 0 && !onlyRetired {
		_, err = ca.Open(dir, nil)
		return nil, caFailure(err)
	}
	return roots, err
}

func (c *trustChange) flags(cmd *cobra.Command) {
	all := kindNames()
	cmd.Flags().StringSliceVar(&c.stores, "store", all, "which `stores`, with commas between them")
	cmd.Flags().BoolVar(&c.dryRun, "dry-run", false, "print the commands and change nothing")
	// The only error is a flag that is not there.
	_ = cmd.RegisterFlagCompletionFunc("store", cobra.FixedCompletions(all, cobra.ShellCompDirectiveNoFileComp))
}

func kindNames() (names []string) {
	for _, k := range trust.Kinds() {
		names = append(names, string(k))
	}
	return names
}

// kinds returns what --store asks for, in the order in which it is done.
func (c *trustChange) kinds() ([]trust.Kind, error) {
	for _, s := range c.stores {
		if !slices.Contains(kindNames(), s) {
			return nil, usageError("--store must be of %s, not %q", strings.Join(kindNames(), ", "), s)
		}
	}
	return slices.DeleteFunc(trust.Kinds(), func(k trust.Kind) bool { return !slices.Contains(c.stores, string(k)) }), nil
}
