package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/injectproxy/injectproxy/internal/ca"
	"github.com/injectproxy/injectproxy/internal/clientenv"
	"github.com/injectproxy/injectproxy/internal/config"
)

func newEnvCommand(g *globals) *cobra.Command {
	var shell, listen string
	var unset bool
	cmd := &cobra.Command{
		Use:   "env [--shell sh|fish|powershell|dotenv|json]",
		Short: "Print the variables by which clients use a running serve",
		Long: `env prints the environment variables that lead clients to the running serve and
have them trust its CA:

  sh, bash, zsh   eval "$(injectproxy env)"
  fish            injectproxy env --shell fish | source
  PowerShell      injectproxy env --shell powershell | Out-String | Invoke-Expression

What is in these variables already is kept: bundles of roots become part of
bundle.pem, NO_PROXY keeps all entries but those that cover a rule, which are
told, and the proxy that was there before is in INJECTPROXY_UPSTREAM, where a
serve that is started from the same shell finds it. --unset prints what brings
all of them back. HTTP_PROXY stays as it is: plain http never gets a token.

The proxy's URL has the credential in it only if the proxy wants it, as it does
with access.mode = "credential" and on systems that cannot tell users apart.

Exit status: 0, or 1 without a running serve; then nothing is printed.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains(shells, shell) {
				return usageError("--shell must be one of %s, not %q", strings.Join(shells, ", "), shell)
			}
			var variables []clientenv.Variable
			if unset {
				variables = clientenv.Undo(os.Environ())
			} else {
				var err error
				if variables, err = g.clientVariables(cmd, listen); err != nil {
					return err
				}
			}
			return printVariables(cmd.OutOrStdout(), shell, variables)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&shell, "shell", usualShell(), "`shell` or file format to print for: "+strings.Join(shells, ", "))
	flags.BoolVar(&unset, "unset", false, "print what takes the variables back")
	flags.StringVar(&listen, "listen", "", "`address` that serve was given by the same flag")
	return cmd
}

func usualShell() string {
	if runtime.GOOS == "windows" {
		return "powershell"
	}
	return "sh"
}

// clientVariables returns what a shell has to set, and says on stderr what its
// user should know.
func (g *globals) clientVariables(cmd *cobra.Command, listen string) ([]clientenv.Variable, error) {
	stderr := cmd.ErrOrStderr()
	cfg, err := g.loadListening(stderr, listen)
	if err != nil {
		return nil, err
	}
	home, err := config.Home()
	if err != nil {
		return nil, err
	}
	authority, err := ca.Open(caDir(home), nil)
	if e, ok := errors.AsType[*ca.Error](err); ok {
		return nil, &failure{status: exitFailed, err: e, hint: e.Hint}
	}
	if err != nil {
		return nil, err
	}
	running, err := findServe(cmd.Context(), cfg, home, authority)
	if err != nil {
		return nil, err
	}
	before := childEnvironment(clientenv.Before(os.Environ()), running.is)
	stores := clientStores(stderr, home, authority.RootPEM(), before)
	e := clientenv.For(clientenv.Settings{
		Proxy: running.url, RootFile: authority.RootFile(), BundleFile: stores.bundle, TrustStore: stores.java,
		Authorities: authoritiesOf(cfg), Environ: before,
	})
	tellLifted(stderr, e.Lifted)
	for _, note := range e.Notes {
		fmt.Fprintf(stderr, "note: %s\n", note)
	}
	return withLeftovers(e.Variables, clientenv.Undo(os.Environ())), nil
}

// loadListening returns the configuration of a serve that was started with
// that --listen. Warnings are for check and serve to give: this runs whenever
// a shell starts.
func (g *globals) loadListening(stderr io.Writer, listen string) (*config.Config, error) {
	cfg, problems, err := g.load()
	if err != nil {
		return nil, err
	}
	if cfg == nil {
		printProblems(stderr, problems)
		return nil, brokenConfig(problems)
	}
	if listen != "" {
		if err := cfg.OverrideListen(listen); err != nil {
			return nil, usageError("--listen: %v", err)
		}
	}
	return cfg, nil
}

// withLeftovers adds to what is set the variables that an earlier env has set
// and this one does not.
func withLeftovers(set, undo []clientenv.Variable) []clientenv.Variable {
	for _, v := range undo {
		if !slices.ContainsFunc(set, func(s clientenv.Variable) bool { return s.Name == v.Name }) {
			set = append(set, v)
		}
	}
	return set
}

// tellLifted says which entries of NO_PROXY the clients are not given.
func tellLifted(w io.Writer, lifted []string) {
	if len(lifted) > 0 {
		fmt.Fprintf(w, "note: left out of NO_PROXY, because a rule's host is covered: %s\n", strings.Join(lifted, ", "))
	}
}

// authoritiesOf returns the authorities that rules name, each once.
func authoritiesOf(cfg *config.Config) []string {
	var list []string
	for _, rule := range cfg.Rules {
		for _, prefix := range rule.Prefixes {
			if a := prefix.Authority(); !slices.Contains(list, a) {
				list = append(list, a)
			}
		}
	}
	return list
}
