package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"time"

	"github.com/injectproxy/injectproxy/internal/access"
	"github.com/injectproxy/injectproxy/internal/ca"
	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/inject"
	"github.com/injectproxy/injectproxy/internal/proxy"
	"github.com/injectproxy/injectproxy/internal/record"
	"github.com/injectproxy/injectproxy/internal/retry"
	"github.com/injectproxy/injectproxy/internal/telemetry"
	"github.com/injectproxy/injectproxy/internal/token"
)

// surroundings are what an instance needs besides its configuration.
type surroundings struct {
	authority *ca.Authority // nil if no rule needs one
	access    *access.Policy
	listeners []net.Addr // our own, which are never dialled
	log       *slog.Logger

	sessions string                      // directory of who has signed in; "" keeps that in memory
	bundle   string                      // file with the roots that az and its kin trust; "" leaves them the system's
	notify   func(title, message string) // shows a notification; nil shows none
	environ  []string                    // that az and its kin are run in, after it was cleaned; nil: the process's
	toolDirs []string                    // where they may be besides PATH; nil: the usual places

	resolve func(ctx context.Context, host string) ([]netip.Addr, error) // nil: the system's
	now     func() time.Time                                             // the clock of tokens; nil: time.Now

	// dialIdentity dials for requests to identity and metadata services; nil
	// means as everybody does.
	dialIdentity func(ctx context.Context, network, addr string) (net.Conn, error)
}

// instance is a proxy composed from a configuration. It serves listeners by
// its proxy and ends with close.
type instance struct {
	*proxy.Proxy
	upstream *proxy.Upstream
	caches   map[*config.Audience]*token.Cache
	sources  *sources
	stats    *retry.Stats
}

// build composes an instance: configuration → sources → routes → door.
func build(cfg *config.Config, s surroundings) (*instance, error) {
	roots, err := upstreamRoots(cfg.Upstream.CA)
	if err != nil {
		return nil, err
	}
	own := proxy.IsListener(s.listeners...)
	proxyFor, err := upstreamProxy(cfg, own)
	if err != nil {
		return nil, err
	}
	trust := &tls.Config{RootCAs: roots}
	dialer := proxy.NewDialer(proxy.DialOptions{
		Proxy: proxyFor, TLS: trust, Resolve: s.resolve,
		Own: own, NoLoopback: cfg.Shared(),
	})
	in := &instance{upstream: proxy.NewUpstream(dialer, trust), caches: map[*config.Audience]*token.Cache{}, stats: new(retry.Stats)}
	identity := identityTransport(proxyFor, trust)
	identity.DialContext = s.dialIdentity
	in.sources = newSources(cfg, s, identity, own, in.signedIn)
	if err := in.addAudiences(cfg, s); err != nil {
		in.close()
		return nil, err
	}
	rules, err := in.rules(cfg, s)
	if err != nil {
		in.close()
		return nil, err
	}
	in.Proxy, err = proxy.New(proxy.Options{
		Dialer: dialer, Upstream: in.upstream, Leaf: leafOf(s.authority),
		Admit:     func(c net.Conn) func([]string) error { return s.access.Peer(c).Admit },
		RulesOnly: cfg.Tunnel.Allow == "rules", TrustHint: trustHint(s.authority),
		Log: s.log, ErrorLog: telemetry.LibraryLog(s.log, "net/http"),
		Done: func(r *record.Record) { telemetry.RequestLine(s.log, r, time.Since(r.Start)) },
	})
	if err != nil {
		in.close()
		return nil, err
	}
	in.SetRules(rules)
	return in, nil
}

// addAudiences makes a token cache for each audience. Those that mean the same
// to Entra share one, and so a token, its refresh and what a refusal teaches.
func (in *instance) addAudiences(cfg *config.Config, s surroundings) error {
	alike := map[string]*token.Cache{}
	for _, a := range cfg.Audiences {
		key, err := meaning(a)
		if err != nil {
			return fmt.Errorf("audience %s: %w", a.Name, err)
		}
		if c := alike[key]; c != nil && key != "" {
			in.caches[a] = c
			continue
		}
		src, err := in.sources.of(a)
		if err != nil {
			return fmt.Errorf("audience %s: %w", a.Name, err)
		}
		in.caches[a] = token.NewCache(src, token.Options{
			Name: a.Name, Margin: cfg.Token.RefreshMargin, Timeout: cfg.Token.Timeout, Now: s.now, Log: s.log,
		})
		alike[key] = in.caches[a]
	}
	return nil
}

// signedIn has every audience ask its source again: one sign-in is often good
// for several.
func (in *instance) signedIn() {
	for _, c := range in.caches {
		c.Forget()
	}
}

// rules builds the route of each rule, for the table that explain reads too.
func (in *instance) rules(cfg *config.Config, s surroundings) (*proxy.Rules, error) {
	table, index, err := cfg.Table()
	if err != nil {
		return nil, err
	}
	budget := retry.NewBudget(cfg.Retry.Memory)
	rules := &proxy.Rules{Table: table, Refused: map[string]*proxy.Answer{}}
	routes := make([]proxy.Route, len(cfg.Rules))
	for i, r := range cfg.Rules {
		routes[i] = proxy.Route{RoundTripper: refuse{ruleOff(r)}, Name: r.Name, Team: r.Team, Kind: r.Kind}
		if r.Off == "" {
			routes[i].RoundTripper = in.route(cfg, r, budget, s)
		}
		for _, p := range r.Prefixes {
			if a := unsignable(s.authority, r, p.Authority()); a != nil && rules.Refused[p.Authority()] == nil {
				s.log.Error("a rule is off", "rule", r.Name, "team", r.Team, "authority", p.Authority(), "problem", a.Detail, "hint", a.Hint)
				rules.Refused[p.Authority()] = a
			}
		}
	}
	for _, i := range index {
		rules.Routes = append(rules.Routes, routes[i])
	}
	return rules, nil
}

// route is the chain of one live rule, outermost first: what was learned is
// recorded, what an agent's user can mend is explained, errors become answers, a
// refused token is replaced, the token is attached, the upstream is asked.
func (in *instance) route(cfg *config.Config, r config.Rule, budget *retry.Budget, s surroundings) http.RoundTripper {
	tokens := in.caches[r.Audience]
	var route http.RoundTripper = answering{retry.New(
		inject.New(proxy.WithTimeout(in.upstream, r.Timeout), inject.Options{
			Prefixes: r.Prefixes, Tokens: tokens,
			Header: r.Header, Scheme: r.Scheme, Keep: r.Existing == "keep",
			Strip: r.Strip, Headers: headers(r.Headers),
		}),
		retry.Options{
			Tokens: tokens, BodyLimit: cfg.Retry.BodyLimit, Memory: budget, Stats: in.stats, Now: s.now,
			Log: s.log.With("rule", r.Name, "team", r.Team, "audience", r.Audience.Name),
		},
	)}
	if r.Kind == "mcp" {
		route = explaining{
			next: route, rule: r.Name, audience: r.Audience.Name,
			refusals: r.Unauthorized == "explain", held: newMemory(mostGlimpses),
		}
	}
	return observed{route}
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
// upstream proxy, never through one that only the environment names.
func identityTransport(proxyFor func(*url.URL) (*url.URL, error), trust *tls.Config) *http.Transport {
	return &http.Transport{
		Proxy:               func(r *http.Request) (*url.URL, error) { return proxyFor(r.URL) },
		TLSClientConfig:     trust.Clone(),
		ForceAttemptHTTP2:   true,
		TLSHandshakeTimeout: 10 * time.Second,
		IdleConnTimeout:     30 * time.Second,
	}
}

// leafOf returns the function that issues certificates.
func leafOf(a *ca.Authority) func(string) (*tls.Certificate, error) {
	if a == nil {
		return func(string) (*tls.Certificate, error) { return nil, errors.New("there is no CA") }
	}
	return a.Leaf
}

// close ends the audiences. The proxy is shut down before.
func (in *instance) close() {
	in.sources.signIns.Close() // who waits for a sign-in goes first
	for _, c := range in.caches {
		c.Close()
	}
	in.sources.close()
	in.upstream.CloseIdleConnections()
}
