package main

import (
	"errors"
	"io"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/injectproxy/injectproxy/internal/config"
)

func newGateCommand(g *globals) *cobra.Command {
	var listen string
	cmd := &cobra.Command{
		Use:   "gate",
		Short: "Run a reverse proxy that validates Entra tokens in front of MCP servers",
		Long: `gate stands in front of MCP servers that know nothing of Microsoft Entra ID. It
lets in who shows a token that is valid for a route, tells MCP clients where to
get one, decides on each tool, resource and prompt, and keeps the token to itself.
It reads gate.toml: --config, else gate.toml in $INJECTPROXY_HOME or your
configuration directory, else /etc/injectproxy/gate.toml.

It runs until it gets SIGINT or SIGTERM. After SIGTERM it goes on as before for 5
seconds, or as long as drain if that is less, while /readyz says that no more
clients are wanted, so that whoever sends them sends them elsewhere. Then it
accepts no more, gives calls and streams the time that drain allows, and exits
with status 0. A second signal ends it at once.

On a route with [route.on_behalf_of] it exchanges each caller's token for one of
that user's for another API, which the server gets in its place. Missing consent
to that is warned of at the start, and keeps nobody else from being served.

With [redis] its sessions are shared by all gates that have the same, so that any
of them serves any session. While Redis is away requests of a session are answered
by 503, and the rest is served: /readyz says nothing of it.

A change of gate.toml takes a restart. The files of [tls], of certificates and of
secrets are read again when they change, and SIGHUP opens the audit file again.

/healthz and /readyz are open to everybody on its port; it is ready once the keys
of all tenants were loaded. The address of [admin] has them too, and a page for a
browser and /metrics.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := harden(cmd.ErrOrStderr()); err != nil {
				return err
			}
			cfg, err := g.validGate(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if listen != "" {
				if err := cfg.OverrideListen(listen); err != nil {
					return usageError("--listen: %v", err)
				}
			}
			return serveGate(cfg, cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "", "`address` to listen on, in place of the file's")
	cmd.AddCommand(newGateCheckCommand(g), newGateExplainCommand(g))
	return cmd
}

// loadGate is load for the gate's configuration.
func (g *globals) loadGate() (*config.Gate, []config.Problem, error) {
	file, err := config.FindGate(g.config)
	if err != nil {
		f := &failure{status: exitUsage, err: err}
		if errors.Is(err, fs.ErrNotExist) {
			f.err = errors.New("there is no gate.toml")
			f.hint = "name one with --config; gate.example.toml of the release has all keys"
		}
		return nil, nil, f
	}
	load := config.LoadGate
	if g.withoutFiles {
		load = config.LoadGateAlone
	}
	cfg, problems := load(file)
	if cfg != nil {
		g.override(&cfg.Log)
	}
	return cfg, problems, nil
}

// addWithoutFiles adds the flag for a gate.toml that is looked at where the gate does
// not run.
func (g *globals) addWithoutFiles(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&g.withoutFiles, "without-files", false, "do not read the files that gate.toml names: they are where the gate runs")
}

// validGate is valid for the gate's configuration.
func (g *globals) validGate(stderr io.Writer) (*config.Gate, error) {
	cfg, problems, err := g.loadGate()
	if err != nil {
		return nil, err
	}
	printProblems(stderr, problems)
	if cfg == nil {
		return nil, brokenConfig(problems)
	}
	return cfg, nil
}
