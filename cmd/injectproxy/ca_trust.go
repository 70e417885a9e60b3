package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
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

// trustChange is one run of install or uninstall.
type trustChange struct {
	stores   []string
	dryRun   bool
	removing bool
	roots    []trustedRoot
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

// run prints what is to be done in every store, does it, and prints what came
// of it.
func (c *trustChange) run(ctx context.Context, w io.Writer) error {
	kinds, err := c.kinds()
	if err != nil {
		return err
	}
	machine, err := trust.Here()
	if err != nil {
		return err
	}
	for _, root := range c.roots {
		fmt.Fprintf(w, "%s, SHA-256 %s\n", root.Subject.CommonName, ca.Fingerprint(root.Certificate))
	}
	stores := machine.Stores(kinds)
	for _, k := range kinds {
		if !slices.ContainsFunc(stores, func(s *trust.Store) bool { return s.Kind == k }) {
			fmt.Fprintf(w, "\n%s: none is found here\n", k)
		}
	}
	idle := true
	for _, s := range stores {
		idle = c.announce(ctx, w, s) && idle
	}
	if c.dryRun || idle {
		return nil
	}
	fmt.Fprintln(w)
	undone := 0
	for _, s := range stores {
		if !c.change(ctx, w, s) {
			undone++
		}
	}
	if undone > 0 {
		return &failure{status: exitFailed, err: fmt.Errorf("%d of %d stores: %s", undone, len(stores), c.say("not trusting the CA yet", "still trusting the CA")),
			hint: "do what is said of them above, then run this again; --store names those that matter to you"}
	}
	return nil
}

func (c *trustChange) say(installing, removing string) string {
	if c.removing {
		return removing
	}
	return installing
}

func (c *trustChange) plan(ctx context.Context, s *trust.Store, root trustedRoot) (trust.Plan, error) {
	if c.removing {
		return s.Uninstall(ctx, root.Certificate)
	}
	return s.Install(ctx, root.Certificate, root.file)
}

// announce prints what is to be done in one store, and reports whether that is
// nothing.
func (c *trustChange) announce(ctx context.Context, w io.Writer, s *trust.Store) (nothing bool) {
	fmt.Fprintf(w, "\n%s\n", s.Name)
	nothing = true
	for _, root := range c.roots {
		p, err := c.plan(ctx, s, root)
		switch {
		case err != nil:
			fmt.Fprintf(w, "  %s\n", problemOf(err))
			nothing = false
		case p.Follows:
			fmt.Fprintln(w, "  changes with the store of the system")
			nothing = false
		}
		for _, args := range p.Commands {
			fmt.Fprintf(w, "  %s\n", commandLine(args))
			nothing = false
		}
	}
	if nothing {
		fmt.Fprintf(w, "  nothing to do: %s\n", c.say("it is trusted", "it is not there"))
	}
	return nothing
}

// change does in one store what is left to be done by now, as another store
// may have brought it about, and reports whether that is how it is.
func (c *trustChange) change(ctx context.Context, w io.Writer, s *trust.Store) (done bool) {
	changed := false
	var yours [][]string
	for _, root := range c.roots {
		p, err := c.plan(ctx, s, root)
		switch {
		case err == nil && p.Done():
			continue
		case err == nil && p.Follows:
			err = &trust.Error{Reason: "it changes with the store of the system", Hint: "run this with --store system,java"}
		case err == nil && p.Privileged:
			yours = append(yours, p.Commands...)
			continue
		case err == nil:
			if err = p.Run(ctx); err == nil {
				err = c.verify(ctx, s, root)
			}
		}
		if err != nil {
			fmt.Fprintf(w, "%s: %s\n", s.Name, problemOf(err))
			return false
		}
		changed = true
	}
	if len(yours) > 0 {
		fmt.Fprintf(w, "%s: it takes root, so this is for you to run:\n", s.Name)
		for _, args := range yours {
			fmt.Fprintf(w, "  %s%s\n", asRoot(), commandLine(args))
		}
		return false
	}
	if !changed {
		return true
	}
	note := ""
	if s.Note != "" {
		note = "; " + s.Note
	}
	fmt.Fprintf(w, "%s: %s%s\n", s.Name, c.say("it is trusted now", "it is gone"), note)
	return true
}

func (c *trustChange) verify(ctx context.Context, s *trust.Store, root trustedRoot) error {
	p, err := c.plan(ctx, s, root)
	if err == nil && !p.Done() {
		err = &trust.Error{Reason: c.say("the commands were run, and it is not trusted", "the commands were run, and it is still there: something else has put it there")}
	}
	return err
}

func problemOf(err error) string {
	if e, ok := errors.AsType[*trust.Error](err); ok && e.Hint != "" {
		return e.Reason + " (" + e.Hint + ")"
	}
	return err.Error()
}

func commandLine(args []string) string {
	words := make([]string, len(args))
	for i, a := range args {
		words[i] = shellQuote(a)
	}
	return strings.Join(words, " ")
}

// asRoot is what a user of this machine writes in front of a command that takes
// root.
func asRoot() string {
	for _, name := range []string{"sudo", "doas"} {
		if _, err := exec.LookPath(name); err == nil {
			return name + " "
		}
	}
	return ""
}
