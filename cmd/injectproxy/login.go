package main

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// loginLimit is how long a person may take who has asked to sign in: as long
// as a device code lives.
const loginLimit = 15 * time.Minute

func newLoginCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "login [AUDIENCE]",
		Short: "Sign in to an audience, in a browser or with a code",
		Long: `login signs you in for an audience of the configuration, by the first of its
sources that a person can sign in to: az (az login), device-code or browser.
Without AUDIENCE it does so for each one that has no token.

A running serve notices within seconds and needs no restart.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := harden(cmd.ErrOrStderr()); err != nil {
				return err
			}
			cfg, err := g.valid(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			l, err := newLogin(cfg, cmd.OutOrStdout(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			defer l.close()
			if len(args) == 1 {
				return l.named(ctx, args[0])
			}
			return l.all(ctx)
		},
	}
}
