package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/injectproxy/injectproxy/internal/ca"
	"github.com/injectproxy/injectproxy/internal/match"
	"github.com/injectproxy/injectproxy/internal/record"
)

func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "6"); err != nil { // most of what tests do is wait; -parallel has the last word
		panic(err)
	}
	// Behind a header that is too large, net/http gives the client half a
	// second to read the answer, whatever else ends meanwhile.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// guard bounds waiting for events that must come; it is never what a test
// measures.
const guard = 60 * time.Second

// world is a running proxy, the upstreams behind it, and the clients in front
// of it, all on loopback. Names below .test resolve to 127.0.0.1.
type world struct {
	t       testing.TB
	proxy   *Proxy
	addr    string             // of the proxy port
	root    *x509.Certificate  // the proxy's CA
	roots   *x509.CertPool     // what clients trust: the root
	origins *authorityForTests // signs the upstreams' certificates
	log     *lockedBuffer
	mu      sync.Mutex
	records []*record.Record
}

type worldOptions struct {
	prefixes  []string                                                      // one rule each; each attaches X-Token: its prefix
	route     func(prefix string, next http.RoundTripper) http.RoundTripper // nil: attach X-Token
	dial      DialOptions
	rulesOnly bool
	admit     func(net.Conn) func([]string) (string, error)
	listener  net.Listener
	upstream  http.RoundTripper
	limits    limits
	change    func(*Options) // before the proxy is made; nil changes nothing
}

// newWorld starts a proxy. Prefixes may name upstreams that were started with
// startUpstream before.
func newWorld(t testing.TB, origins *authorityForTests, o worldOptions) *world {
	t.Helper()
	w := &world{t: t, origins: origins, log: new(lockedBuffer)}
	l := o.listener
	if l == nil {
		l = listenLoopback(t)
	}
	w.addr = l.Addr().String()
	if o.dial.Resolve == nil {
		o.dial.Resolve = resolveTest
	}
	if o.dial.Own == nil {
		o.dial.Own = IsListener(l.Addr())
	}
	d := NewDialer(o.dial)
	upstream := o.upstream
	if upstream == nil {
		upstream = NewUpstream(d, &tls.Config{RootCAs: origins.pool})
	}
	permit, err := ca.ParsePermit([]string{"test", "127.0.0.0/8", "::1", "localhost"})
	fatal(t, err)
	authority, err := ca.Ephemeral(permit, nil)
	fatal(t, err)
	w.roots = x509.NewCertPool()
	w.root = authority.Root()
	w.roots.AddCert(w.root)
	logger := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	admit := o.admit
	if admit == nil {
		admit = func(net.Conn) func([]string) (string, error) {
			return func([]string) (string, error) { return "", nil }
		}
	}
	options := Options{
		Dialer: d, Upstream: upstream, Leaf: authority.Leaf, Admit: admit, RulesOnly: o.rulesOnly,
		TrustHint: "trust /path/to/ca.pem", Log: logger, Done: w.done, limits: o.limits,
	}
	if o.change != nil {
		o.change(&options)
	}
	w.proxy, err = New(options)
	fatal(t, err)
	w.setRules(o, upstream)
	served := make(chan error, 1)
	go func() { served <- w.proxy.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // whatever a test left open ends now
		w.proxy.Shutdown(ctx)
		<-served
		if u, ok := upstream.(*Upstream); ok {
			u.CloseIdleConnections()
		}
	})
	return w
}

func (w *world) setRules(o worldOptions, upstream http.RoundTripper) {
	w.t.Helper()
	rules := &Rules{}
	var table []match.Rule
	for _, s := range o.prefixes {
		p, err := match.ParsePrefix(s)
		fatal(w.t, err)
		table = append(table, match.Rule{Prefix: p})
		route := o.route
		if route == nil {
			route = attachToken
		}
		rules.Routes = append(rules.Routes, Route{RoundTripper: route(s, upstream), Name: s, Kind: "http"})
	}
	var err error
	rules.Table, err = match.NewTable(table)
	fatal(w.t, err)
	w.proxy.SetRules(rules)
}

// attachToken marks what went down a rule's route.
func attachToken(prefix string, next http.RoundTripper) http.RoundTripper {
	return roundTripperFunc(func(r *http.Request) (*http.Response, error) {
		r = r.WithContext(r.Context()) // a Clone would lose the trailers
		r.Header = r.Header.Clone()
		r.Header.Set("X-Token", prefix)
		return next.RoundTrip(r)
	})
}

type roundTripperFunc func(*http.Request) (*http.Response, error)

func (f roundTripperFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (w *world) done(r *record.Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.records = append(w.records, r)
}

// client returns an HTTP client that goes through the proxy with the given
// protocol, "h1" or "h2".
func (w *world) client(proto string) *http.Client {
	t := &http.Transport{
		Proxy:              http.ProxyURL(&url.URL{Scheme: "http", Host: w.addr}),
		TLSClientConfig:    &tls.Config{RootCAs: w.trust()},
		DisableCompression: true,
		Protocols:          new(http.Protocols),
	}
	t.Protocols.SetHTTP1(proto == "h1")
	t.Protocols.SetHTTP2(proto == "h2")
	w.t.Cleanup(t.CloseIdleConnections)
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// trust returns the proxy's root and the origins', for clients that reach
// both intercepted and tunnelled hosts.
func (w *world) trust() *x509.CertPool {
	pool := w.roots.Clone()
	pool.AddCert(w.origins.cert)
	return pool
}

// connect opens a connection to the proxy and has it connected to authority;
// early is sent in the same segment as the CONNECT.
func (w *world) connect(authority, early string) net.Conn {
	w.t.Helper()
	c, err := net.Dial("tcp", w.addr)
	fatal(w.t, err)
	w.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(guard))
	_, err = c.Write([]byte("CONNECT " + authority + " HTTP/1.1\r\nHost: " + authority + "\r\n\r\n" + early))
	fatal(w.t, err)
	head := readHead(w.t, c)
	if !strings.HasPrefix(head, "HTTP/1.1 200 ") {
		w.t.Fatalf("CONNECT %s: %s", authority, head)
	}
	return c
}

// tlsTo completes an intercepted CONNECT with a TLS handshake.
func (w *world) tlsTo(authority string, protos ...string) *tls.Conn {
	w.t.Helper()
	host, _, _ := net.SplitHostPort(authority)
	c := tls.Client(w.connect(authority, ""), &tls.Config{RootCAs: w.roots, ServerName: host, NextProtos: protos})
	fatal(w.t, c.Handshake())
	return c
}

// readHead reads up to the empty line behind a header and nothing more.
func readHead(t testing.TB, c net.Conn) string {
	t.Helper()
	var b []byte
	one := make([]byte, 1)
	for !bytes.HasSuffix(b, []byte("\r\n\r\n")) {
		n, err := c.Read(one)
		if n == 0 && err != nil {
			t.Fatalf("after %q: %v", b, err)
		}
		b = append(b, one[:n]...)
	}
	return string(b)
}

// unavailable skips a test that needs what is not there, or fails it where
// everything must be.
func unavailable(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("INJECTPROXY_REQUIRE_ALL") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

func resolveTest(_ context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	if host == "localhost" || strings.HasSuffix(host, ".test") && host != "unknown.test" {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func listenLoopback(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	fatal(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

func fatal(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eachProtocol runs f for both kinds of client leg and both kinds of upstream.
func eachProtocol(t *testing.T, f func(t *testing.T, client, upstream string)) {
	for _, client := range []string{"h1", "h2"} {
		for _, upstream := range []string{"h1", "h2"} {
			t.Run(client+" client, "+upstream+" upstream", func(t *testing.T) { f(t, client, upstream) })
		}
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
