package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// demoLimit bounds a demonstration whose parts do not answer each other.
const demoLimit = 2 * time.Minute

func newDemoCommand() *cobra.Command {
	var keep bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show the whole job on this machine, without an Azure account",
		Long: `demo starts, on loopback and in this process, a simulated Entra authority, a
protected MCP server, an LLM endpoint that streams, a share service and a web
site, then the real proxy with the real token path, and sends real requests
through it. It prints each step and what was seen at both ends: who gets a
token and who does not, a revoked one that is replaced, and an MCP session that
outlives the restart of its server.

Then the whole way, client, proxy, gate, server: a second MCP server stands
behind the real gate, which exchanges the token of a user, who has signed in to
the proxy, for one of that server's; hides a tool from them; and has the proxy
get them another token when Conditional Access demands more.

Exit status: 0 if every step held.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			w, err := newDemoWorld(demoOptions{})
			if err != nil {
				return fmt.Errorf("starting the demonstration: %w", err)
			}
			defer w.close()
			err = w.demonstrate(ctx, cmd.OutOrStdout())
			if keep && ctx.Err() == nil {
				w.printKept(cmd.OutOrStdout())
				<-ctx.Done()
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "leave everything running and print curl lines to try")
	return cmd
}

// demonstrate runs the steps in order and prints what each saw. A step that
// does not hold does not end the demonstration, but its result.
func (w *demoWorld) demonstrate(ctx context.Context, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, demoLimit)
	defer cancel()
	p := newDemoPrinter(out)
	p.line("A simulated Entra ID, an MCP server, an LLM endpoint, a share service and a web")
	p.line("site run on this machine; between them and a client runs the real injectproxy.")
	p.line("Another MCP server stands behind the real injectproxy gate.")
	var failed []string
	for i, step := range demoSteps {
		saw, err := step.run(ctx, w)
		p.step(i+1, step.title, saw, err)
		if err != nil {
			failed = append(failed, fmt.Sprint(i+1))
		}
	}
	if failed == nil {
		p.line("")
		p.line("All %d steps held. Next: injectproxy init, adapt the file that it wrote, injectproxy serve.", len(demoSteps))
		return nil
	}
	if ctx.Err() != nil {
		return errors.New("the demonstration was interrupted")
	}
	return &failure{
		status: exitFailed, err: fmt.Errorf("%d of %d steps did not hold: %s", len(failed), len(demoSteps), strings.Join(failed, ", ")),
		hint: "what was seen instead is printed with each step",
	}
}

// printKept tells how to use what keeps running.
func (w *demoWorld) printKept(out io.Writer) {
	curl := fmt.Sprintf("  curl --proxy %s --cacert %s", w.proxyURL, w.caFile)
	fmt.Fprintf(out, "\nStill running, until Ctrl-C. Try the proxy:\n\n%s https://%s/shared/report.json\n\n", curl, w.share.authority)
	fmt.Fprintf(out, "And with it the gate, whose gate.toml is %s:\n\n%s -H 'Content-Type: application/json'"+
		" -H 'Accept: application/json, text/event-stream' -d '{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"whoami\"}}' %s\n\n",
		w.gate.cfg.File, curl, w.gateURL)
}

// demoPrinter writes the steps, in colour where a person reads them.
type demoPrinter struct {
	out       io.Writer
	ok, wrong string
}

func newDemoPrinter(out io.Writer) *demoPrinter {
	p := &demoPrinter{out: out, ok: "ok", wrong: "FAILED"}
	if f, isFile := out.(*os.File); isFile && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			p.ok, p.wrong = "\x1b[32mok\x1b[0m", "\x1b[31mFAILED\x1b[0m"
		}
	}
	return p
}

func (p *demoPrinter) line(format string, args ...any) { fmt.Fprintf(p.out, format+"\n", args...) }

func (p *demoPrinter) step(n int, title string, saw []string, err error) {
	mark := p.ok
	if err != nil {
		mark = p.wrong
	}
	p.line("\n%-69s %s", fmt.Sprintf("%d. %s", n, title), mark)
	for _, s := range saw {
		p.line("   %s", s)
	}
	if err != nil {
		p.line("   %v", err)
	}
}
