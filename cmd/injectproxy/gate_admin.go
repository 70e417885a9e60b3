package main

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/injectproxy/injectproxy/internal/access"
	"github.com/injectproxy/injectproxy/internal/admin"
	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/telemetry"
)

// serveAdmin serves l, which may be nil, as the admin port of a gate that
// listens at the given address. The result may be nil too.
func (w *gateway) serveAdmin(l net.Listener, listen net.Addr) *adminPort {
	if l == nil {
		return nil
	}
	p, started, log := new(adminPort), time.Now(), w.around.log
	policy := ownersOnly(log)
	report := func() statusReport {
		s := w.report(listen.String(), started)
		s.Page = pageURL(l.Addr())
		s.Problems = append(s.Problems, metricsProblems(p.server.MetricsClosed())...)
		return s
	}
	p.server = admin.New(l.Addr(), admin.Options{
		Admit: func(c net.Conn) func([]string) error { return adminAdmit(policy.Peer(c)) },
		Prove: func(challenge string) string { return policy.Proof(challenge + "\n" + l.Addr().String()) },
		Ready: w.ready, Unready: "not ready",
		Status: func() any { return w.full(report()) },
		Pulse:  func() any { return report() },
		Plots:  func() any { return w.watch.history.Snapshot() },
		Feed:   &w.watch.live.feed,

		Metrics: w.watch.metrics.Handler(), MetricsFile: w.cfg.Admin.TokenFile,
		Log: log, ErrorLog: telemetry.LibraryLog(log, "net/http"),
	})
	log.Info("status", "address", l.Addr().String(), "page", pageURL(l.Addr()))
	p.running.Go(func() {
		if err := p.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Warn("the status port has failed", "error", err)
		}
	})
	return p
}

// ownersOnly admits to the page who runs the gate: the same user, or who can
// read the credential. In a container there may be no place for one, and then
// nobody comes from elsewhere.
func ownersOnly(log *slog.Logger) *access.Policy {
	var credential access.Credential
	home, err := config.Home()
	if err == nil {
		credential, err = access.LoadOrCreate(filepath.Join(home, "credential"))
	}
	if err != nil {
		log.Debug("the page has no credential", "error", err)
	}
	policy, err := access.New("auto", credential)
	if err != nil { // there is no such mode
		return new(access.Policy)
	}
	return policy
}
