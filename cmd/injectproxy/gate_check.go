package main

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/injectproxy/injectproxy/internal/config"
)

func newGateCheckCommand(g *globals) *cobra.Command {
	var token string
	var asJSON, try bool
	cmd := &cobra.Command{
		Use:   "check [--token FILE] [--try | --without-files]",
		Short: "Validate gate.toml, and say why a token would be refused",
		Long: `check reads gate.toml and the files that it names, and prints every problem as
FILE:LINE: what is wrong.

With --without-files it reads gate.toml alone: for the pipeline of a repository,
where there are no secrets and certificates.

With --token it also decodes an access token, says which claim of it meets which
setting, and which routes let it in. It asks nobody for keys: that Entra issued the
token is not checked. FILE holds the token alone, or what az account
get-access-token prints; - is standard input.

With --try it also asks whom the gate will ask: Microsoft Entra ID, for the keys of
each tenant, whether it takes the credentials of [route.on_behalf_of] and what was
consented to, and Redis. It takes the place of the gate for that: run it where the
gate will run.

Notes on standard error say where Entra would refuse clients that sign in by the
metadata, which is no problem of the file: others bring a token of their own; and
what the gate asks for on behalf of users, and by what it proves who it is.

Exit status: 0 without errors (there may be warnings), 2 with errors, a token that
the gate would refuse among them.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var raw string
			if cmd.Flags().Changed("token") {
				var err error
				if raw, err = readSample(token, cmd.InOrStdin()); err != nil {
					return err
				}
			}
			cfg, problems, err := g.loadGate()
			if err != nil {
				return err
			}
			var s *sample
			if raw != "" && cfg != nil {
				s = inspectSample(cfg, raw, time.Now())
				problems = append(problems, s.problems...)
			}
			if try && cfg != nil {
				libraries(slog.New(slog.DiscardHandler))
				tried, err := tryGate(cmd.Context(), cfg)
				if err != nil {
					return err
				}
				problems = append(problems, tried...)
			}
			switch out := cmd.OutOrStdout(); {
			case asJSON && s != nil:
				err = printJSON(out, sampleJSON{problemsJSON(problems), s.Claims, s.Routes})
			case asJSON:
				err = printProblemsJSON(out, problems)
			default:
				printProblems(out, problems)
				err = s.print(out)
				if g.withoutFiles {
					fmt.Fprintln(cmd.ErrOrStderr(), "note: of the files that gate.toml names none was read")
				}
				noteForClients(cmd.ErrOrStderr(), cfg)
				noteOnBehalfOf(cmd.ErrOrStderr(), cfg)
			}
			if err != nil {
				return err
			}
			return verdict(problems)
		},
	}
	cmd.Flags().StringVar(&token, "token", "", "`file` with an access token to decode, - for standard input")
	cmd.Flags().BoolVar(&try, "try", false, "ask Entra for keys and by the credentials of [route.on_behalf_of], and Redis")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array; with --token, an object")
	g.addWithoutFiles(cmd)
	cmd.MarkFlagsMutuallyExclusive("try", "without-files")
	return cmd
}

// noteForClients prints what stops clients that sign in by themselves, of the first
// route that does. It is no warning: with a file as it is at first it would always
// be there.
func noteForClients(w io.Writer, cfg *config.Gate) {
	if cfg == nil {
		return
	}
	for _, r := range cfg.Routes {
		if note := refusedByEntra(cfg, r); note != "" {
			fmt.Fprintf(w, "note: %s\n", note)
			return
		}
	}
}

// noteOnBehalfOf prints what the gate will ask Entra for, and as whom: nothing else
// shows before the first call that it is what was meant.
func noteOnBehalfOf(w io.Writer, cfg *config.Gate) {
	if cfg == nil {
		return
	}
	for _, r := range cfg.Routes {
		o := r.OnBehalfOf
		if o == nil {
			continue
		}
		by := credentialWords(o)
		if !o.Ends.IsZero() {
			by += ", which ends on " + o.Ends.UTC().Format(time.DateOnly)
		}
		fmt.Fprintf(w, "note: route %s asks on behalf of users for %s, by %s\n", r.Path, strings.Join(o.Scopes, " "), by)
	}
}
