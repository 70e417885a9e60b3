package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/injectproxy/injectproxy/internal/access"
	"github.com/injectproxy/injectproxy/internal/ca"
	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/proxy"
	"github.com/injectproxy/injectproxy/internal/retry"
	"github.com/injectproxy/injectproxy/internal/session"
	"github.com/injectproxy/injectproxy/internal/telemetry"
)

// surroundings are what an instance needs besides its configuration.
type surroundings struct {
	authority *ca.Authority // at first; nil if no rule needs one
	access    *access.Policy
	listeners []net.Addr // our own, which are never dialled
	log       *slog.Logger

	sessions string                      // directory of who has signed in; "" keeps that in memory
	bundle   string                      // file with the roots that az and its kin trust; "" leaves them the system's
	notify   func(title, message string) // shows a notification; nil shows none
	progress *progress                   // tells what is waited for; nil tells nothing
	traces   *telemetry.Traces           // nil: none
	audit    *telemetry.Audit            // nil: none
	environ  []string                    // that az and its kin are run in, after it was cleaned; nil: the process's
	toolDirs []string                    // where they may be besides PATH; nil: the usual places

	resolve func(ctx context.Context, host string) ([]netip.Addr, error) // nil: the system's
	now     func() time.Time                                             // the clock of tokens; nil: time.Now

	// dialIdentity dials for requests to identity and metadata services; nil
	// means as everybody does.
	dialIdentity func(ctx context.Context, network, addr string) (net.Conn, error)
}

// instance is a proxy composed from a configuration: a door that stays as it
// was made, and generations of routes that follow one another. It serves
// listeners by its proxy and ends with close.
//
// One that is only prepared has no door, and needs none of what one needs: an
// authority, a policy, listeners. Its routes are reached from within.
type instance struct {
	*proxy.Proxy // nil without a door
	around       surroundings
	upstream     *proxy.Upstream
	sources      *sources
	stats        *retry.Stats
	watch        *observer
	book         *session.Book // sessions outlive changes of the configuration

	authority atomic.Pointer[ca.Authority] // in use; nil if no rule needs one

	mu          sync.Mutex // guards what follows
	current     *generation
	generations map[*generation]bool // that have not ended

	ending  sync.WaitGroup // generations that were followed by another
	closing chan struct{}  // closed when they must not wait any longer
	closed  sync.Once
}

// build composes an instance: configuration → sources → routes → door.
func build(cfg *config.Config, s surroundings) (*instance, error) {
	in, dialer, err := prepare(cfg, s)
	if err != nil {
		return nil, err
	}
	in.Proxy, err = proxy.New(proxy.Options{
		Dialer: dialer, Upstream: in.watch.attempt(in.upstream), Leaf: in.leaf,
		Admit:     func(c net.Conn) func([]string) (string, error) { return s.access.Peer(c).Client },
		RulesOnly: cfg.Tunnel.Allow == "rules", TrustHint: trustHint(s.authority),
		Log: s.log, ErrorLog: telemetry.LibraryLog(s.log, "net/http"), Distrusted: in.watch.distrust.note,
		Began: in.watch.began, Answered: in.watch.answered, Done: in.watch.done, Tunnel: in.watch.tunnel,
	})
	if err != nil {
		in.close()
		return nil, err
	}
	if err := in.takeOver(cfg); err != nil {
		in.Shutdown(canceled())
		in.close()
		return nil, err
	}
	return in, nil
}

// prepare makes what the routes of an instance stand on. They come with takeOver.
// The Dialer is the one that they connect by.
func prepare(cfg *config.Config, s surroundings) (*instance, *proxy.Dialer, error) {
	roots, err := upstreamRoots(cfg.Upstream.CA)
	if err != nil {
		return nil, nil, err
	}
	own := proxy.IsListener(s.listeners...)
	proxyFor, err := upstreamProxy(cfg, own)
	if err != nil {
		return nil, nil, err
	}
	trust := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	dialer := proxy.NewDialer(proxy.DialOptions{
		Proxy: proxyFor, TLS: trust, Resolve: s.resolve,
		Own: own, NoLoopback: cfg.Shared(),
	})
	in := &instance{
		around: s, upstream: proxy.NewUpstream(dialer, trust), stats: new(retry.Stats),
		generations: map[*generation]bool{}, closing: make(chan struct{}), book: session.NewBook(),
	}
	in.authority.Store(s.authority)
	in.watch = newObserver(in)
	identity := identityTransport(proxyFor, trust)
	identity.DialContext = s.dialIdentity
	in.sources = newSources(cfg, s, identity, own, in.signedIn)
	return in, dialer, nil
}

// upstreamRoots returns the system's roots and those of the given files, or
// nil for the system's alone.
func upstreamRoots(files []string) (*x509.CertPool, error) {
	if len(files) == 0 {
		return nil, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("the system's roots: %w", err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		if !pool.AppendCertsFromPEM(b) {
			return nil, fmt.Errorf("upstream_ca: %s holds no certificate", f)
		}
	}
	return pool, nil
}

// identityTransport reaches the identity service: through the configured
// upstream proxy, never through one that only the environment names. A
// connection on which nothing is heard, since the network has changed, is left
// before an acquisition gives up: the next would else go over it, too.
func identityTransport(proxyFor func(*url.URL) (*url.URL, error), trust *tls.Config) *http.Transport {
	return &http.Transport{
		Proxy:               func(r *http.Request) (*url.URL, error) { return proxyFor(r.URL) },
		TLSClientConfig:     trust.Clone(),
		ForceAttemptHTTP2:   true,
		HTTP2:               &http.HTTP2Config{SendPingTimeout: 3 * time.Second, PingTimeout: 2 * time.Second},
		TLSHandshakeTimeout: 10 * time.Second,
		IdleConnTimeout:     30 * time.Second,
	}
}
