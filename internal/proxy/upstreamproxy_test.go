package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"golang.org/x/net/http/httpproxy"
)

// resolveProxies knows where the upstream proxies are, and no upstream.
func resolveProxies(ctx context.Context, host string) ([]netip.Addr, error) {
	if host == "proxy.test" || host == "localhost" || net.ParseIP(host) != nil {
		return resolveTest(ctx, host)
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// behind is a world whose upstreams only an upstream proxy can reach, unless
// there is none: api is under a rule, other is not, plain speaks http.
type behind struct {
	*world
	api, other, plain string
	upstream          *recorder
}

func newBehind(t testing.TB, origins *authorityForTests, proxy func(*url.URL) (*url.URL, error)) *behind {
	t.Helper()
	b := &behind{upstream: &recorder{answer: greet}}
	b.api = origins.startUpstream(t, "api.test", "h2", b.upstream)
	b.other = origins.startUpstream(t, "other.test", "h2", b.upstream)
	b.plain = startPlain(t, "plain.test", b.upstream)
	resolve := resolveProxies
	if u, err := proxy(&url.URL{Scheme: "https", Host: b.api}); u == nil && err == nil {
		resolve = resolveTest
	}
	b.world = newWorld(t, origins, worldOptions{
		prefixes: []string{"https://" + b.api + "/"},
		dial:     DialOptions{Proxy: proxy, Resolve: resolve, TLS: &tls.Config{RootCAs: origins.pool}},
	})
	return b
}

// greet answers a WebSocket with an echo, and everything else with a word.
func greet(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") == "" {
		io.WriteString(w, "hello")
		return
	}
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	typ, b, err := c.Read(r.Context())
	if err == nil {
		c.Write(r.Context(), typ, b)
	}
	c.Close(websocket.StatusNormalClosure, "")
}

// startPlain starts an http server and returns its authority under host.
func startPlain(t testing.TB, host string, h http.Handler) string {
	t.Helper()
	l := listenLoopback(t)
	s := &http.Server{Handler: h}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() { s.Close(); <-done })
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return net.JoinHostPort(host, port)
}

// traffic are the kinds of traffic that a client can have with the upstreams.
func (b *behind) traffic(t *testing.T) map[string]func() string {
	fetch := func(proto, url string) func() string {
		return func() string { _, body := get(t, b.client(proto), url); return body }
	}
	return map[string]func() string{
		"tunnel, h1":      fetch("h1", "https://"+b.other+"/"),
		"tunnel, h2":      fetch("h2", "https://"+b.other+"/"),
		"intercepted, h1": fetch("h1", "https://"+b.api+"/"),
		"intercepted, h2": fetch("h2", "https://"+b.api+"/"),
		"plain http":      fetch("h1", "http://"+b.plain+"/"),
		"WebSocket":       func() string { return b.websocket(t, "https://"+b.api+"/") },
		"WebSocket in a tunnel": func() string {
			return b.websocket(t, "https://"+b.other+"/")
		},
		"WebSocket over http": func() string { return b.websocket(t, "http://"+b.plain+"/") },
	}
}

// websocket returns the echo of "hello".
func (b *behind) websocket(t *testing.T, url string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), guard)
	defer cancel()
	c, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: b.client("h1")})
	fatal(t, err)
	defer c.CloseNow()
	fatal(t, c.Write(ctx, websocket.MessageText, []byte("hello")))
	_, got, err := c.Read(ctx)
	fatal(t, err)
	return string(got)
}

var pseudonym = regexp.MustCompile(`^1\.1 injectproxy-[0-9a-f]{16}$`)

func TestAllTrafficGoesThroughTheUpstreamProxy(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			origins := newOrigins(t)
			corp := startCorporate(t, origins, scheme)
			for kind := range newBehind(t, origins, always(corp.url)).traffic(t) {
				t.Run(kind, func(t *testing.T) {
					b := newBehind(t, origins, always(corp.url))
					if got := b.traffic(t)[kind](); got != "hello" {
						t.Errorf("got %q", got)
					}
					target := map[bool]string{true: "http://" + b.plain + "/", false: b.api}[strings.Contains(kind, "http")]
					if strings.Contains(kind, "tunnel") {
						target = b.other
					}
					hops := corp.take()
					if len(hops) == 0 {
						t.Error("the upstream proxy saw nothing")
					}
					for _, hop := range hops {
						if hop.target != target || !pseudonym.MatchString(hop.header.Get("Via")) {
							t.Errorf("the upstream proxy saw %+v, want a request for %s with our Via", hop, target)
						}
					}
					for _, s := range b.upstream.take() {
						if s.header["Proxy-Authorization"] != nil || kind != "plain http" && kind != "WebSocket over http" && s.header["Via"] != nil {
							t.Errorf("the upstream saw %v", s.header)
						}
					}
					wantNoCredential(t, b.log.String())
				})
			}
		})
	}
}

// wantNoCredential looks for the upstream proxy's credential in any form.
func wantNoCredential(t testing.TB, text string) {
	t.Helper()
	for _, s := range []string{
		"rosebud", proxyPassword, url.QueryEscape(proxyPassword), base64.StdEncoding.EncodeToString([]byte(proxyUser + ":" + proxyPassword)),
	} {
		if strings.Contains(text, s) {
			t.Errorf("the upstream proxy's credential shows as %q in: %s", s, text)
		}
	}
}

// answers returns what the proxy itself answers for each kind of traffic.
func (b *behind) answers(t *testing.T) map[string]reply {
	t.Helper()
	all := map[string]reply{
		"tunnel":     rawHTTP1(t, b.door(), "CONNECT", "CONNECT "+b.other+" HTTP/1.1\r\nHost: "+b.other+"\r\n\r\n"),
		"plain http": rawHTTP1(t, b.door(), "GET", "GET http://"+b.plain+"/ HTTP/1.1\r\nHost: "+b.plain+"\r\n\r\n"),
	}
	for _, proto := range []string{"h1", "h2"} {
		res, body := get(t, b.client(proto), "https://"+b.api+"/")
		all["intercepted, "+proto] = reply{status: res.StatusCode, header: res.Header, body: body}
	}
	return all
}

func TestUpstreamProxyThatDoesNotHelp(t *testing.T) {
	t.Parallel()
	origins, strangers := newOrigins(t), newOrigins(t)
	with := func(change func(*corporate)) func(t *testing.T) *url.URL {
		return func(t *testing.T) *url.URL {
			corp := startCorporate(t, origins, "http")
			change(corp)
			return corp.url
		}
	}
	const unreachable, refused, passed = "Check upstream_proxy in config.toml", "Ask those who run the upstream proxy", ""
	for _, c := range []struct {
		name       string
		proxy      func(t *testing.T) *url.URL
		status     int
		typ, hint  string
		connectish bool // does not concern plain requests
	}{
		{"wrong password", with(func(c *corporate) { c.url.User = url.UserPassword(proxyUser, "rosebud") }), 502, "upstream-proxy", "user and password", false},
		{"no credential", with(func(c *corporate) { c.url.User = nil }), 502, "upstream-proxy", "user and password", false},
		{"403", with(func(c *corporate) { c.refuse = 403 }), 502, "upstream-proxy", refused, true},
		{"500", with(func(c *corporate) { c.refuse = 500 }), 502, "upstream-proxy", refused, true},
		{"504", with(func(c *corporate) { c.refuse = 504 }), 504, "upstream-proxy", refused, true},
		{"down", func(t *testing.T) *url.URL { return closedProxy(t) }, 502, "upstream-refused", unreachable, false},
		{"unknown name", with(func(c *corporate) { c.url.Host = "unknown.test:8080" }), 502, "upstream-unknown", unreachable, false},
		{"not a proxy", func(t *testing.T) *url.URL { return mumbler(t, "SSH-2.0-OpenSSH\r\n\r\n") }, 502, "upstream-aborted", unreachable, true},
		{"hangs up", func(t *testing.T) *url.URL { return mumbler(t, "") }, 502, "upstream-aborted", unreachable, true},
		{"endless header", func(t *testing.T) *url.URL {
			return mumbler(t, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 2*maxProxyHead))
		}, 502, "upstream-aborted", unreachable, true},
		{"certificate of a stranger", func(t *testing.T) *url.URL { return startCorporate(t, strangers, "https").url }, 502, "upstream-certificate", "upstream_ca", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBehind(t, origins, always(c.proxy(t)))
			for kind, r := range b.answers(t) {
				if kind == "plain http" && c.connectish {
					continue
				}
				t.Run(kind, func(t *testing.T) {
					wantAnswer(t, r, c.status, c.typ)
					if !strings.Contains(r.body, c.hint) {
						t.Errorf("no hint with %q in %s", c.hint, r.body)
					}
					wantNoCredential(t, r.body+textOf(r.header))
				})
			}
			wantNoCredential(t, b.log.String())
			if s := b.upstream.take(); len(s) > 0 && !c.connectish {
				t.Errorf("the upstream was asked: %+v", s)
			}
		})
	}
}

// closedProxy is the URL of an upstream proxy that is not running.
func closedProxy(t testing.TB) *url.URL {
	l := listenLoopback(t)
	l.Close()
	return &url.URL{Scheme: "http", User: url.UserPassword(proxyUser, proxyPassword), Host: l.Addr().String()}
}

// mumbler answers every connection with the same bytes once it was spoken to.
func mumbler(t testing.TB, says string) *url.URL {
	l := listenLoopback(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			http.ReadRequest(bufio.NewReader(c))
			io.WriteString(c, says)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return &url.URL{Scheme: "http", Host: l.Addr().String()}
}

func TestNoProxyIsReachedDirectly(t *testing.T) {
	t.Parallel()
	origins := newOrigins(t)
	corp := startCorporate(t, origins, "http")
	up := new(recorder)
	api := origins.startUpstream(t, "api.direct.test", "h2", up)
	other := origins.startUpstream(t, "other.direct.test", "h2", up)
	plain := startPlain(t, "plain.direct.test", up)
	proxied := origins.startUpstream(t, "other.test", "h2", up)
	w := newWorld(t, origins, worldOptions{
		prefixes: []string{"https://" + api + "/"},
		dial: DialOptions{Proxy: (&httpproxy.Config{
			HTTPProxy: corp.url.String(), HTTPSProxy: corp.url.String(), NoProxy: "elsewhere.test,.direct.test",
		}).ProxyFunc()},
	})
	for _, u := range []string{"https://" + api + "/", "https://" + other + "/", "http://" + plain + "/"} {
		if res, body := get(t, w.client("h1"), u); res.StatusCode != 200 {
			t.Errorf("%s: %d %s", u, res.StatusCode, body)
		}
		if hops := corp.take(); len(hops) > 0 {
			t.Errorf("%s: went through the upstream proxy: %+v", u, hops)
		}
	}
	for _, s := range up.take() {
		if s.header["Via"] != nil {
			t.Errorf("an upstream reached directly saw Via %q", s.header["Via"])
		}
	}
	if get(t, w.client("h1"), "https://"+proxied+"/"); len(corp.take()) != 1 {
		t.Error("a host that is not in NO_PROXY was reached directly")
	}
}
