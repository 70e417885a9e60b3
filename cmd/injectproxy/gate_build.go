package main

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/injectproxy/injectproxy/internal/binding"
	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/gate"
	"github.com/injectproxy/injectproxy/internal/telemetry"
	"github.com/injectproxy/injectproxy/internal/verify"
)

// publicCloud is the authority of all that is not told of another.
const publicCloud = "https://login.microsoftonline.com"

// keysLimit is how long the authority may take to answer one request.
const keysLimit = 10 * time.Second

// gateway is a gate composed from a configuration. Its keys are loaded by run.
type gateway struct {
	*gate.Gate
	cfg      *config.Gate
	around   surroundings
	keys     *verify.Verifier
	apis     []*apiExchanger // that tokens are exchanged for
	consents *consents       // to these
	store    *binding.Redis  // nil: sessions are in memory
	watch    *gateObserver
	entra    *http.Transport
	grace    time.Duration // how long it goes on as before when it is to end
}

// buildGate composes a gate: configuration → keys → exchanged tokens → routes.
func buildGate(cfg *config.Gate, s surroundings) (*gateway, error) {
	roots, err := upstreamRoots(cfg.Upstream.CA)
	if err != nil {
		return nil, err
	}
	trust := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	proxyFor, err := upstreamProxy(identityProxy(cfg), func(netip.AddrPort) bool { return false })
	if err != nil {
		return nil, err
	}
	w := &gateway{cfg: cfg, around: s, entra: identityTransport(proxyFor, trust), grace: min(graceMost, cfg.Drain)}
	client := &http.Client{
		Transport: w.entra, Timeout: keysLimit,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	e := &cfg.Entra
	w.keys, err = verify.New(verify.Options{
		Authority: e.AuthorityHost, Tenants: e.Tenants, Audiences: e.Audiences, Clients: e.Clients, Algorithms: e.Algorithms,
		HTTP: client, Now: s.now, Log: s.log,
	})
	if err != nil {
		return nil, err
	}
	w.watch = newGateObserver(w)
	if w.apis, err = w.newExchangers(client); err != nil {
		return nil, err
	}
	w.consents = w.newConsents()
	o := gateOptions(cfg)
	attach(w.apis, o.Routes)
	if err := w.openStore(&o, trust); err != nil {
		return nil, err
	}
	o.TLS, o.Upstream, o.Log, o.ErrorLog = cfg.TLS, trust, s.log, telemetry.LibraryLog(s.log, "net/http")
	o.Verify, o.Ready = w.keys.Verify, w.ready
	o.Began, o.Answered, o.Done = w.watch.began, w.watch.answered, w.watch.done
	if o.Shim != nil {
		o.Shim.HTTP = client
	}
	w.Gate, err = gate.New(o)
	return w, err
}

// identityProxy is the part of the configuration that says how the identity
// service is reached. MCP servers are reached directly: they stand behind the
// gate.
func identityProxy(cfg *config.Gate) *config.Config {
	return &config.Config{File: cfg.File, Upstream: cfg.Upstream}
}

// run keeps the keys fresh until ctx ends, and sees to what is to be told of the
// surroundings.
func (w *gateway) run(ctx context.Context) {
	var watching sync.WaitGroup
	watching.Go(func() { w.watchStore(ctx) })
	watching.Go(func() { w.consents.run(ctx) })
	w.keys.Run(ctx)
	watching.Wait()
}

// close ends what serving needed. It is called after Shutdown, when run is over.
func (w *gateway) close() {
	for _, x := range w.apis {
		x.Close()
	}
	if w.store != nil {
		w.store.Close()
	}
	w.entra.CloseIdleConnections()
}

// ready reports whether new requests are wanted.
func (w *gateway) ready() bool { return !w.Retired() && w.keys.Ready() }
