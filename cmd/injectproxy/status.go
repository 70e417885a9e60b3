package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"time"

	"github.com/spf13/cobra"

	"github.com/injectproxy/injectproxy/internal/config"
)

// watchEvery is how often --watch asks.
// gateAddress is adminAddress where there is no config.toml, and a gate.toml,
// which is nil if it is broken.
func gateAddress(gate *config.Gate) (string, error) {
	switch {
	case gate == nil:
		return reachable(config.DefaultGateAdmin)
	case gate.Admin.Listen == "":
		return "", &failure{status: exitFailed, err: errors.New("there is no status: listen in [admin] of gate.toml is empty"),
			hint: `set it to an address such as "` + config.DefaultGateAdmin + `", and start injectproxy gate again`}
	}
	return reachable(gate.Admin.Listen)
}

const watchEvery = 2 * time.Second

func newStatusCommand(g *globals) *cobra.Command {
	var asJSON, watch, page bool
	var address string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Print what a running serve is doing",
		Long: `status asks a running serve, at the address of [admin] listen, and prints its
rules with how often each was used, the tokens it holds with their source and
expiry, and how the configuration in use compares with the files: problems of a
changed file that was not taken over, settings that wait for a restart, and teams
that are off. Tokens appear as fingerprints.

Of a running gate, at the address given by --address or, where there is no
config.toml, that of gate.toml, it prints the routes, the keys of each tenant, and
what was denied by its reason.

--open shows the same, and each request as it happens, as a page in the browser.
Where that needs to be let in it waits for it, for 30 seconds; where there is no
browser to be opened it prints a URL, which lets one in once and for as long.

Exit status: 0, or 1 if no serve answers.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			address, err := g.adminAddress(address)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
			defer stop()
			if page {
				return openPage(ctx, cmd.OutOrStdout(), cmd.ErrOrStderr(), address)
			}
			for {
				if err := showStatus(ctx, cmd.OutOrStdout(), address, asJSON, watch); err != nil {
					return err
				}
				if !watch {
					return nil
				}
				select {
				case <-time.After(watchEvery):
				case <-ctx.Done():
					return nil
				}
			}
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	cmd.Flags().BoolVar(&watch, "watch", false, "print it again every two seconds")
	cmd.Flags().BoolVar(&page, "open", false, "open the status page in a browser")
	cmd.Flags().StringVar(&address, "address", "", "`address` of the status port, in place of the file's")
	cmd.MarkFlagsMutuallyExclusive("open", "json")
	cmd.MarkFlagsMutuallyExclusive("open", "watch")
	return cmd
}

// adminAddress returns where to ask. A configuration that is broken is no
// reason not to: that is what the status tells of.
func (g *globals) adminAddress(flag string) (string, error) {
	address := flag
	if address == "" {
		cfg, _, err := g.load()
		switch {
		case err != nil:
			gate, _, none := g.loadGate()
			if none != nil {
				return "", err
			}
			return gateAddress(gate)
		case cfg == nil:
			address = config.DefaultAdmin
		case cfg.Admin.Listen == "":
			return "", &failure{status: exitFailed, err: errors.New("there is no status: listen in [admin] is empty"),
				hint: `set it to an address such as "127.0.0.1:8878", and start injectproxy serve again`}
		default:
			address = cfg.Admin.Listen
		}
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		return "", usageError("--address: %q is not host:port", address)
	}
	return reachable(address)
}

// showStatus asks once and prints the answer.
func showStatus(ctx context.Context, w io.Writer, address string, asJSON, again bool) error {
	raw, err := askStatus(ctx, address)
	if err != nil {
		if again && ctx.Err() != nil {
			return nil
		}
		return err
	}
	var report statusReport
	if err := json.Unmarshal(raw, &report); err != nil {
		return otherVersion(address)
	}
	switch {
	case asJSON && again:
		return json.NewEncoder(w).Encode(report) // a line each
	case asJSON:
		return printJSON(w, report)
	case again && screen(w):
		fmt.Fprint(w, "\x1b[H\x1b[2J")
	}
	return report.print(w, time.Now())
}
