package main

import (
	"fmt"
	"io"
	"net"
	"time"

	"github.com/spf13/cobra"

	"github.com/injectproxy/injectproxy/internal/ca"
	"github.com/injectproxy/injectproxy/internal/config"
)

func newCARotateCommand(g *globals) *cobra.Command {
	var finish, cancel bool
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Make the CA that follows, and switch to it once clients trust it",
		Long: `rotate makes another CA, for the hosts that the configuration names now. The one
in use stays in use, so that clients can come to trust the new root first; the
bundle holds both by then. rotate --finish switches, and a running serve follows
by itself. Nothing is lost whenever either is interrupted: run it again.

A CA lives for two years. A rule for a host outside of its constraints, a CA that
ends or is damaged, and a key that somebody else may have read ask for another.

Exit status: 0, 1 if there is no CA or no rotation, 2 if the configuration is wrong.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			home, err := config.Home()
			if err != nil {
				return err
			}
			switch w := cmd.OutOrStdout(); {
			case finish:
				return g.finishRotation(w, home)
			case cancel:
				return cancelRotation(w, home)
			default:
				return g.rotateCA(w, cmd.ErrOrStderr(), home)
			}
		},
	}
	cmd.Flags().BoolVar(&finish, "finish", false, "switch to the CA that follows")
	cmd.Flags().BoolVar(&cancel, "cancel", false, "give up the CA that follows")
	cmd.MarkFlagsMutuallyExclusive("finish", "cancel")
	return cmd
}

func (g *globals) rotateCA(w, stderr io.Writer, home string) error {
	cfg, problems, err := g.load()
	if err != nil {
		return err
	}
	if cfg == nil {
		printProblems(stderr, problems)
		return brokenConfig(problems)
	}
	permit, err := ca.ParsePermit(cfg.Permitted())
	if err != nil {
		return err
	}
	next, err := ca.Rotate(caDir(home), permit, nil)
	if err != nil {
		return caFailure(err)
	}
	if err := ca.ExtendBundle(bundleFile(home), next.RootPEM()); err != nil {
		return err
	}
	fmt.Fprintf(w, "root         %s\n", next.RootFile())
	describeAuthority(next).printFacts(w, time.Now())
	_, err = fmt.Fprintf(w, `
The CA in use stays until injectproxy ca rotate --finish. Have clients trust the
new root too by then: injectproxy ca install. Those that use %s
do when they start again.
`, bundleFile(home))
	return err
}

func (g *globals) finishRotation(w io.Writer, home string) error {
	if err := g.checkNext(home); err != nil {
		return err
	}
	authority, err := ca.Finish(caDir(home), nil)
	if err != nil {
		return caFailure(err)
	}
	fmt.Fprintf(w, "root         %s\n", authority.RootFile())
	describeAuthority(authority).printFacts(w, time.Now())
	_, err = fmt.Fprint(w, `
It is in use: a running serve has it for new connections at once. From now on
clients need the old root no longer: injectproxy ca uninstall --retired.
`)
	return err
}

// checkNext refuses a switch to a CA that would turn a rule off because the
// rules have changed since it was made. A configuration that cannot be read
// keeps nobody from a switch.
func (g *globals) checkNext(home string) error {
	next, err := ca.Next(caDir(home), nil)
	if err != nil {
		return nil // Finish says it
	}
	cfg, _, err := g.load()
	if err != nil || cfg == nil {
		return nil
	}
	for _, rule := range cfg.Rules {
		for _, prefix := range rule.Prefixes {
			host, _, _ := net.SplitHostPort(prefix.Authority()) // canonical: it splits
			if next.Check(host) != nil && rule.Off == "" {
				return &failure{status: exitFailed, hint: "injectproxy ca rotate",
					err: fmt.Errorf("the CA that follows may sign for %s, and so not for rule %s", next.Permit(), rule.Name)}
			}
		}
	}
	return nil
}

func cancelRotation(w io.Writer, home string) error {
	if err := ca.Cancel(caDir(home)); err != nil {
		return caFailure(err)
	}
	_, err := fmt.Fprintln(w, "The CA in use stays. What was to follow it is gone.")
	return err
}
