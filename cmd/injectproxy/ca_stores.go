package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"

	"al.essio.dev/pkg/shellescape"

	"github.com/injectproxy/injectproxy/internal/ca"
	"github.com/injectproxy/injectproxy/internal/trust"
)

// trustChange is one run of install or uninstall.
type trustChange struct {
	stores   []string
	dryRun   bool
	removing bool
	roots    []trustedRoot
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
	var todo []*trust.Store
	for _, s := range stores {
		if !c.announce(ctx, w, s) {
			todo = append(todo, s)
		}
	}
	if c.dryRun || len(todo) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	undone := 0
	for _, s := range todo {
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
	}
	if len(yours) > 0 {
		fmt.Fprintf(w, "%s: it takes root, so this is for you to run:\n", s.Name)
		for _, args := range yours {
			fmt.Fprintf(w, "  %s%s\n", asRoot(), commandLine(args))
		}
		return false
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
		words[i] = shellescape.Quote(a)
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
