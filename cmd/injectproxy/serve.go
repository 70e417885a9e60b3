package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/injectproxy/injectproxy/internal/ca"
	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/telemetry"
)

func newServeCommand(g *globals) *cobra.Command {
	var listen string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the proxy in the foreground",
		Long: `serve runs the proxy until it gets SIGINT or SIGTERM. It then accepts no more
clients, gives open streams and tunnels the time that drain allows, and exits
with status 0; a second signal ends it at once.

It picks up changes of config.toml and the team files by itself, and on SIGHUP:
a valid configuration takes over for new requests, a broken one changes nothing
and is logged with file and line. SIGHUP opens the audit file again, too.

Under a rule of kind mcp, a session that its server has lost is replaced unseen
by the client, unless the rule says otherwise (recover). The address of [admin]
has a page for a browser, and /metrics, /healthz and /readyz.

On its first start it makes a CA that can speak for the hosts of the rules and
no others. Clients need two settings: the proxy (HTTPS_PROXY) and that CA.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := harden(cmd.ErrOrStderr()); err != nil {
				return err
			}
			load := func() (*config.Config, []config.Problem, error) { return g.loadFor(listen) }
			cfg, problems, err := load()
			if err != nil {
				return err
			}
			printProblems(cmd.ErrOrStderr(), problems)
			if cfg == nil {
				return brokenConfig(problems)
			}
			return serve(cfg, problems, load, cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "", "`address` to listen on, in place of the file's")
	return cmd
}

// loadFor is load with the address of --listen, "" for the file's.
func (g *globals) loadFor(listen string) (*config.Config, []config.Problem, error) {
	cfg, problems, err := g.load()
	if cfg == nil || err != nil || listen == "" {
		return cfg, problems, err
	}
	if err := cfg.OverrideListen(listen); err != nil {
		return nil, problems, usageError("--listen: %v", err)
	}
	return cfg, problems, nil
}

// serve runs the proxy until a signal ends it. Problems are those of cfg, and
// load reads it again.
func serve(cfg *config.Config, problems []config.Problem, load loadFunc, stderr io.Writer) error {
	line := newProgress(stderr)
	if cfg.Log.Format == "json" {
		line = nil // that is for a program to read
	}
	log, err := telemetry.NewLogger(line.over(stderr), cfg.Log.Level, cfg.Log.Format)
	if err != nil {
		return err
	}
	libraries(log)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)

	warnOfWeakening(log, os.Getenv("GODEBUG"))
	environ := os.Environ() // az changes it for a moment
	watcher, changed := watchConfig(cfg, log)
	defer watcher.close()
	watcher.compare(cfg, load)
	asRead := *cfg // a supervisor's socket takes the place of listen
	started, err := startedBy(&cfg.Listen, cfg.OverrideListen, "injectproxy env looks for serve at listen: make both the same", log)
	if err != nil {
		return err
	}
	audit, err := openAudit(cfg.Log.Audit, log)
	if err != nil {
		return err
	}
	around := surroundings{log: log, progress: line, traces: openTraces(log), audit: audit}
	status := openAdmin(cfg.Admin.Listen, log)
	l, in, err := open(cfg, started, status, around)
	if err != nil {
		around.settle(settleMost)
		if status != nil {
			status.Close()
		}
		return err
	}
	served := make(chan error, 1)
	go func() { served <- in.Serve(l) }()
	started.ready(l.Addr())
	changes := newReloader(in, &asRead, problems, load)
	caWatcher, rotated := watchCA(in.authority.Load(), log)
	defer caWatcher.close()
	reload := func() {
		started.reloading()
		changes.reload()
		watcher.include(in.config().Include)
		started.ready(l.Addr())
	}
	port := serveAdmin(status, changes, l.Addr())
	defer port.close()
	for {
		select {
		case err := <-served:
			in.Shutdown(canceled())
			in.close()
			in.around.settle(settleMost)
			return fmt.Errorf("serving %s: %w", l.Addr(), err)
		case s := <-signals:
			if s != syscall.SIGHUP {
				port.drain()
				limit := in.config().Drain
				started.stopping(limit)
				return drain(in, limit, signals, log)
			}
			audit.Reopen() // it may have been renamed
			reload()
		case <-changed:
			reload()
		case <-rotated:
			in.rotated(cfg, environ)
		}
	}
}

// open makes everything that serve needs, from the CA to the listener. Status,
// which may be nil, is one of our listeners too; around is what there is already.
func open(cfg *config.Config, started *supervisor, status net.Listener, around surroundings) (net.Listener, *instance, error) {
	log := around.log
	home, err := config.Home()
	if err != nil {
		return nil, nil, err
	}
	policy, err := admission(cfg, home, log)
	if err != nil {
		return nil, nil, err
	}
	authority, err := openCA(cfg, home, log, os.Environ())
	if err != nil {
		return nil, nil, err
	}
	l, err := started.listen(cfg.Listen)
	if err != nil {
		return nil, nil, listenError(cfg.Listen, err)
	}
	ours := []net.Addr{l.Addr()}
	if status != nil {
		ours = append(ours, status.Addr())
	}
	around.authority, around.access, around.listeners = authority, policy, ours
	around.sessions, around.bundle, around.notify = sessionsDir(home), bundleOf(home), notifier(os.Stderr)
	in, err := build(cfg, around)
	if err != nil {
		l.Close()
		return nil, nil, err
	}
	log.Info("listening", "address", l.Addr().String(), "rules", len(cfg.Rules), "ca", caFile(authority))
	return l, in, nil
}

func caFile(a *ca.Authority) string {
	if a == nil {
		return ""
	}
	return a.RootFile()
}

// addressInUse is what Windows says; package syscall has another number there
// under the name of EADDRINUSE.
const addressInUse = syscall.Errno(10048)

func listenError(address string, err error) error {
	f := &failure{status: exitFailed, err: fmt.Errorf("cannot listen on %s: %v", address, err)}
	if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, addressInUse) {
		f.err = fmt.Errorf("%s is in use", address)
		f.hint = "another injectproxy may be running; stop it, or name another address with --listen"
	}
	return f
}

// echo is how soon a second signal may follow the first without being meant as
// one: timeout(1) and process managers signal the process and then its group.
const echo = 100 * time.Millisecond

// drain ends the proxy in good order. What is still open after limit is
// closed. The last traces and lines of the audit file then have what is left of
// limit. A further signal ends the wait, whatever it is for.
func drain(in *instance, limit time.Duration, signals <-chan os.Signal, log *slog.Logger) error {
	return in.around.drain(limit, signals, func(ctx context.Context) error {
		err := in.Shutdown(ctx)
		in.close() // may wait for a token source, and a signal must end that too
		return err
	}, log)
}

// drain waits for end, which ends everything else and is told when the limit is
// over, and then for what is left to tell.
func (s *surroundings) drain(limit time.Duration, signals <-chan os.Signal, end func(context.Context) error, log *slog.Logger) error {
	log.Info("draining", "limit", limit.String())
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		err := end(ctx)
		s.settle(min(max(limit-time.Since(began), settleLeast), settleMost))
		done <- err
	}()
	for {
		select {
		case err := <-done:
			if err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			log.Info("stopped", "cut_off", err != nil)
			return nil
		case sent := <-signals:
			if sent == syscall.SIGHUP {
				s.audit.Reopen()
			} else if time.Since(began) > echo {
				s.audit.Close(echo) // long enough for a disk that works
				return &failure{status: exitFailed, err: errors.New("stopped at once by a second signal")}
			}
		}
	}
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
