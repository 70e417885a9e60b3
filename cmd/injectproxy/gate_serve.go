package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/telemetry"
)

// graceMost is how long a gate that was told to end goes on as before, so that
// who sends it clients learns by its readiness to send them elsewhere.
const graceMost = 5 * time.Second

// serveGate runs the gate until a signal ends it.
func serveGate(cfg *config.Gate, stderr io.Writer) error {
	log, err := telemetry.NewLogger(stderr, cfg.Log.Level, cfg.Log.Format)
	if err != nil {
		return err
	}
	libraries(log)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	warnOfWeakening(log, os.Getenv("GODEBUG"))
	started, err := startedBy(&cfg.Listen, cfg.OverrideListen, "make both the same", log)
	if err != nil {
		return err
	}
	audit, err := openAudit(cfg.Log.Audit, log)
	if err != nil {
		return err
	}
	around := surroundings{log: log, traces: openTraces(log), audit: audit}
	w, l, err := openGate(cfg, started, around)
	if err != nil {
		around.settle(settleMost)
		return err
	}
	return w.serve(l, started, signals)
}

// openGate makes the gate and its listener.
func openGate(cfg *config.Gate, started *supervisor, around surroundings) (*gateway, net.Listener, error) {
	w, err := buildGate(cfg, around)
	if err != nil {
		return nil, nil, err
	}
	l, err := started.listen(cfg.Listen)
	if err != nil {
		return nil, nil, listenError(cfg.Listen, err)
	}
	around.log.Info("listening", "address", l.Addr().String(), "url", cfg.PublicURL.String(), "routes", len(cfg.Routes), "tls", cfg.TLS.Cert != "")
	return w, l, nil
}

// serve serves l until a signal ends it.
func (w *gateway) serve(l net.Listener, started *supervisor, signals <-chan os.Signal) error {
	keys, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { w.run(keys) })
	end := func(ctx context.Context) error { // of all but the admin port
		err := w.Shutdown(ctx)
		stop()
		running.Wait()
		w.close()
		return err
	}
	served := make(chan error, 1)
	go func() { served <- w.Serve(l) }()
	started.ready(l.Addr())
	port := w.serveAdmin(openAdmin(w.cfg.Admin.Listen, w.around.log), l.Addr())
	defer port.close()
	for {
		select {
		case err := <-served:
			end(canceled())
			w.around.settle(settleMost)
			return fmt.Errorf("serving %s: %w", l.Addr(), err)
		case s := <-signals:
			if s == syscall.SIGHUP {
				w.around.audit.Reopen()
				continue
			}
			w.Retire()
			if s == os.Interrupt { // from a terminal: nobody sends clients elsewhere, and somebody waits
				w.grace = 0
			}
			limit := w.grace + w.cfg.Drain
			started.stopping(limit)
			return w.around.drain(limit, signals, func(ctx context.Context) error {
				w.goOn(ctx)
				return end(ctx)
			}, w.around.log)
		}
	}
}

// goOn lets the grace pass, unless the end comes first.
func (w *gateway) goOn(ctx context.Context) {
	grace := time.NewTimer(w.grace)
	defer grace.Stop()
	select {
	case <-grace.C:
	case <-ctx.Done():
	}
}
