package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/stdio"
	"github.com/injectproxy/injectproxy/internal/telemetry"
)

// bridge is a client's way to its server.
type bridge struct {
	*stdio.Bridge
	in  *instance
	log *slog.Logger
}

// startBridge makes the routes to the server and what stands over them. Nothing
// is sent yet, and nobody asked for a token.
func startBridge(s *stdioSetting, stderr io.Writer) (*bridge, error) {
	log, err := telemetry.NewLogger(stderr, s.cfg.Log.Level, s.cfg.Log.Format)
	if err != nil {
		return nil, err
	}
	libraries(log)
	warnOfWeakening(log, os.Getenv("GODEBUG"))
	for _, note := range s.notes {
		log.Warn(note)
	}
	audit, err := openAudit(s.cfg, log)
	if err != nil {
		return nil, err
	}
	b := &bridge{log: log}
	around := surroundings{log: log, audit: audit, traces: openTraces(log), notify: b.notice(notifier(os.Stderr))}
	if home, err := config.Home(); err == nil { // without one, sign-ins are forgotten at the end
		around.sessions, around.bundle = sessionsDir(home), bundleOf(home)
	}
	var route inward
	if b.in, _, err = prepare(s.cfg, around); err == nil {
		if err = b.in.takeOver(s.cfg); err == nil {
			route, err = b.in.toServer(s)
		}
		if err != nil {
			b.in.close()
		}
	}
	if err != nil {
		around.settle(settleMost)
		return nil, err
	}
	b.Bridge = stdio.New(stdio.Options{
		URL: s.url, Route: route, Transport: s.transport, Header: s.header,
		ToolTimeout: s.timeout, Tools: s.tools, Explain: explainTo(s.authority), Log: log,
	})
	return b, nil
}

// notice has notifications shown by the client, too: who sits before it may see
// neither a terminal nor the desktop that we are on.
func (b *bridge) notice(show func(title, message string)) func(title, message string) {
	return func(title, message string) {
		b.Notify(title, message)
		if show != nil {
			show(title, message)
		}
	}
}

// catchEnds has the signals that end a bridge sent to a channel, until stop is
// called. Those that are ignored stay so. A client that is gone is an error of
// writing, not a signal to die of, with the session at the server left open.
func catchEnds() (signals <-chan os.Signal, stop func()) {
	ends := slices.DeleteFunc([]os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}, signal.Ignored)
	caught, pipes := make(chan os.Signal, 4), make(chan os.Signal, 1)
	if len(ends) > 0 { // none would mean all
		signal.Notify(caught, ends...)
	}
	signal.Notify(pipes, syscall.SIGPIPE)
	return caught, func() {
		signal.Stop(caught)
		signal.Stop(pipes)
	}
}

// attend bridges until the client, a signal or the end of our parent ends it.
// Nothing is left running when it returns, unless a second signal wants it at
// once.
func (b *bridge) attend(stdin io.Reader, stdout io.Writer, signals <-chan os.Signal) error {
	orphaned, unwatch := watchParent()
	defer unwatch()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		err := b.Run(ctx, stdin, stdout)
		b.in.close()
		b.in.around.settle(settleBridge)
		done <- err
	}()
	return untilEnded(done, signals, orphaned, cancel, b.log)
}

// untilEnded returns what comes of done. A signal, or the end of our parent, has
// it come; a further signal does not wait for it.
func untilEnded(done <-chan error, signals <-chan os.Signal, orphaned <-chan struct{}, end func(), log *slog.Logger) error {
	var told time.Time // to end, by a signal
	for {
		select {
		case err := <-done:
			if err != nil {
				return fmt.Errorf("the client cannot be spoken to: %w", err)
			}
			return nil
		case s := <-signals:
			if told.IsZero() {
				log.Info("ending", "signal", s.String())
				told = time.Now()
			} else if time.Since(told) > echo {
				return &failure{status: exitFailed, err: errors.New("stopped at once by a second signal")}
			}
		case <-orphaned:
			log.Info("ending: the process that started this one has ended")
			orphaned = nil
		}
		end()
	}
}

// settleBridge is what the last traces and lines of the audit file have to get
// out: clients kill a server that does not end soon.
const settleBridge = 300 * time.Millisecond
