package main

import (
	"encoding/base64"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/injectproxy/injectproxy/internal/access"
	"github.com/injectproxy/injectproxy/internal/admin"
	"github.com/injectproxy/injectproxy/internal/telemetry"
)

// openAdmin opens the admin port, nil if there is to be none, its address being
// "". A port that is taken, as by a second serve, is no reason not to proxy.
func openAdmin(address string, log *slog.Logger) net.Listener {
	if address == "" {
		return nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		log.Warn("there is no status: its port cannot be opened", "address", address, "error", err,
			"hint", `set listen in [admin] to another address, or to "" for none`)
		return nil
	}
	return l
}

// adminPort serves the status of a serve.
type adminPort struct {
	server   *admin.Server
	draining atomic.Bool
	running  sync.WaitGroup
}

// serveAdmin serves l, which may be nil. The result may be nil too.
func serveAdmin(l net.Listener, changes *reloader, listen net.Addr) *adminPort {
	if l == nil {
		return nil
	}
	p, started, log, watch := new(adminPort), time.Now(), changes.log, changes.in.watch
	report := func() statusReport {
		s := changes.report(listen.String(), started)
		s.Page, s.Ready = pageURL(l.Addr()), !p.draining.Load()
		s.Problems = append(s.Problems, metricsProblems(p.server.MetricsClosed())...)
		return s
	}
	p.server = admin.New(l.Addr(), admin.Options{
		Admit: func(c net.Conn) func([]string) error { return adminAdmit(changes.in.around.access.Peer(c)) },
		Prove: func(challenge string) string {
			return changes.in.around.access.Proof(challenge + "\n" + l.Addr().String())
		},
		Ready:  func() bool { return !p.draining.Load() },
		Status: func() any { return changes.full(report()) },
		Pulse:  func() any { return report() },
		Plots:  func() any { return watch.plots() },
		Feed:   &watch.live.feed,

		Metrics: watch.metrics.Handler(), MetricsFile: changes.in.config().Admin.TokenFile,
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

// pageURL is where a browser on this machine finds the page.
func pageURL(addr net.Addr) string {
	address, err := reachable(addr.String())
	if err != nil {
		address = addr.String()
	}
	return "http://" + address + "/"
}

// adminAdmit admits whom the proxy's port admits, the credential being shown
// as that of Basic or as a bearer token. A client that is confined to its rules
// is not shown those of others.
func adminAdmit(peer *access.Peer) func([]string) error {
	return func(authorization []string) error {
		shown := make([]string, len(authorization))
		for i, h := range authorization {
			shown[i] = h
			if scheme, value, _ := strings.Cut(h, " "); strings.EqualFold(scheme, "bearer") {
				shown[i] = "Basic " + base64.StdEncoding.EncodeToString([]byte("injectproxy:"+value))
			}
		}
		client, err := peer.Client(shown)
		if err == nil && client != "" {
			return errors.New("client " + client + " is confined to its rules")
		}
		return err
	}
}

// drain makes the port say that no more clients are wanted.
func (p *adminPort) drain() {
	if p != nil {
		p.draining.Store(true)
	}
}

// close ends the port and waits for it.
func (p *adminPort) close() {
	if p != nil {
		p.server.Close()
		p.running.Wait()
	}
}
