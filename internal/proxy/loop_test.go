package proxy

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	neturl "net/url"
	"strings"
	"sync/atomic"
	"testing"
)

// countingListener counts what it accepts.
type countingListener struct {
	net.Listener
	n atomic.Int32
}

func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.n.Add(1)
	}
	return c, err
}

func (l *countingListener) url() *neturl.URL {
	return &neturl.URL{Scheme: "http", Host: l.Addr().String()}
}

func listenCounting(t testing.TB) *countingListener {
	return &countingListener{Listener: listenLoopback(t)}
}

func TestProxyThatIsItsOwnUpstreamProxyDoesNotLoop(t *testing.T) {
	t.Parallel()
	origins := newOrigins(t)
	up := new(recorder)
	api := origins.startUpstream(t, "api.test", "h2", up)
	other := origins.startUpstream(t, "other.test", "h2", up)
	plain := startPlain(t, "plain.test", up)
	for _, host := range []string{"127.0.0.1", "localhost", "myself.test", "0.0.0.0", "[::]", "[::ffff:127.0.0.1]"} {
		t.Run(host, func(t *testing.T) {
			l := listenCounting(t)
			_, port, _ := net.SplitHostPort(l.Addr().String())
			w := newWorld(t, origins, worldOptions{
				listener: l, prefixes: []string{"https://" + api + "/"},
				dial: DialOptions{Proxy: always(&neturl.URL{Scheme: "http", Host: host + ":" + port})},
			})
			b := &behind{world: w, api: api, other: other, plain: plain}
			answers := b.answers(t)
			for kind, r := range answers {
				t.Run(kind, func(t *testing.T) { wantAnswer(t, r, 502, "proxy-loop") })
			}
			if n := int(l.n.Load()); n != len(answers) {
				t.Errorf("%d connections were made for %d requests", n, len(answers))
			}
		})
	}
	if s := up.take(); len(s) > 0 {
		t.Errorf("the upstream was asked: %+v", s)
	}
}

func TestOwnListenerIsProhibited(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		listen string
		hosts  []string
	}{
		{"127.0.0.1:0", []string{"127.0.0.1", "localhost", "myself.test", "0.0.0.0", "[::]", "[::ffff:127.0.0.1]"}},
		{"0.0.0.0:0", []string{"127.0.0.1", "127.0.0.2", "127.1.2.3", "localhost", "0.0.0.0", "[::]", "[::1]", "[::ffff:127.0.0.2]"}},
		{"[::]:0", []string{"127.0.0.1", "127.0.0.2", "localhost", "0.0.0.0", "[::]", "[::1]", "[::ffff:127.0.0.2]", localAddress()}},
	} {
		l, err := net.Listen("tcp", c.listen)
		fatal(t, err)
		t.Cleanup(func() { l.Close() })
		_, port, _ := net.SplitHostPort(l.Addr().String())
		w := newWorld(t, newOrigins(t), worldOptions{listener: l})
		w.addr = net.JoinHostPort("127.0.0.1", port)
		for _, host := range c.hosts {
			t.Run(c.listen+" by "+host, func(t *testing.T) {
				target := host + ":" + port
				wantAnswer(t, rawHTTP1(t, w.door(), "CONNECT", "CONNECT "+target+" HTTP/1.1\r\nHost: "+target+"\r\n\r\n"), 403, "destination-prohibited")
				wantAnswer(t, rawHTTP1(t, w.door(), "GET", get1("http://"+target+"/", target)), 403, "destination-prohibited")
			})
		}
	}
}

// localAddress is an address of this machine that is no loopback one, where
// it has one.
func localAddress() string {
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().IsGlobalUnicast() {
			return strings.Trim(net.JoinHostPort(p.Addr().String(), ""), ":")
		}
	}
	return "127.0.0.3"
}

func TestTwoProxiesInAChain(t *testing.T) {
	t.Parallel()
	origins := newOrigins(t)
	second := newWorld(t, origins, worldOptions{})
	b := newBehind(t, origins, always(&neturl.URL{Scheme: "http", Host: second.addr}))
	for kind, f := range b.traffic(t) {
		t.Run(kind, func(t *testing.T) {
			if got := f(); got != "hello" {
				t.Errorf("got %q", got)
			}
		})
	}
	for _, s := range b.upstream.take() {
		if via := s.header["Via"]; !strings.HasPrefix(s.target, "http") && s.host != b.plain && via != nil {
			t.Errorf("an https upstream saw Via %q", via)
		}
	}
}

func TestViaGrowsHopByHop(t *testing.T) {
	t.Parallel()
	origins := newOrigins(t)
	corp := startCorporate(t, origins, "http")
	b := newBehind(t, origins, always(corp.url))
	via := "Via: 1.0 first (a comment), 1.1 second\r\nVia: 1.1 third\r\n"
	rawHTTP1(t, b.door(), "GET", "GET http://"+b.plain+"/ HTTP/1.1\r\nHost: "+b.plain+"\r\n"+via+"\r\n")
	for _, raw := range []string{
		"CONNECT " + b.other + " HTTP/1.1\r\nHost: " + b.other + "\r\n" + via + "\r\n",
		"CONNECT " + b.other + " HTTP/1.0\r\nHost: " + b.other + "\r\n\r\n",
	} {
		c := b.door()
		_, err := io.WriteString(c, raw)
		fatal(t, err)
		if head := readHead(t, c); !strings.HasPrefix(head, "HTTP/1.1 200 ") {
			t.Fatalf("%q: %s", raw, head)
		}
		c.Close()
	}
	want := []string{
		"1.0 first (a comment), 1.1 second, 1.1 third, 1.1 injectproxy-",
		"1.0 first (a comment), 1.1 second, 1.1 third, 1.1 injectproxy-",
		"1.0 injectproxy-",
	}
	hops := corp.take()
	if len(hops) != len(want) {
		t.Fatalf("the upstream proxy saw %d requests, want %d", len(hops), len(want))
	}
	for i, hop := range hops {
		if got := strings.Join(hop.header["Via"], " | "); !strings.HasPrefix(got, want[i]) || len(got) != len(want[i])+16 {
			t.Errorf("request %d: Via %q, want %q and 16 digits", i, got, want[i])
		}
	}
}

// TestTwoProxiesInACircle holds that proxies which are each other's upstream
// proxy end in an answer, after few connections.
func TestTwoProxiesInACircle(t *testing.T) {
	t.Parallel()
	for name, rules := range map[string][2]bool{
		"no rule": {false, false}, "a rule at the first": {true, false}, "a rule at the second": {false, true}, "a rule at both": {true, true},
	} {
		t.Run(name, func(t *testing.T) {
			origins := newOrigins(t)
			up := new(recorder)
			api := origins.startUpstream(t, "api.test", "h2", up)
			plain := startPlain(t, "plain.test", up)
			ls := [2]*countingListener{listenCounting(t), listenCounting(t)}
			var ws [2]*world
			for i := range ws {
				o := worldOptions{listener: ls[i], dial: DialOptions{Proxy: always(ls[1-i].url())}}
				if rules[i] {
					o.prefixes = []string{"https://" + api + "/"}
				}
				ws[i] = newWorld(t, origins, o)
			}
			for _, w := range ws { // each trusts what the other intercepts
				origins.pool.AddCert(w.root)
			}
			// From either side first: connections of the one way round must
			// not close the circle for the other.
			for _, w := range []*world{ws[0], ws[1], ws[0]} {
				for _, proto := range []string{"h1", "h2"} {
					wantLoop(t, w.client(proto), "https://"+api+"/")
					wantLoop(t, w.client(proto), "http://"+plain+"/")
				}
			}
			if n := ls[0].n.Load() + ls[1].n.Load(); n > 60 {
				t.Errorf("%d connections for 12 requests", n)
			}
			if s := up.take(); len(s) > 0 {
				t.Errorf("the upstream was asked: %+v", s)
			}
		})
	}
}

// wantLoop expects an answer that says that there is a loop.
func wantLoop(t *testing.T, c *http.Client, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), guard)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	fatal(t, err)
	c.Transport.(*http.Transport).TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	status := 0
	c.Transport.(*http.Transport).OnProxyConnectResponse = func(_ context.Context, _ *neturl.URL, _ *http.Request, res *http.Response) error {
		if res.StatusCode != 200 {
			status = res.StatusCode
			if !saysLoop(res) {
				t.Errorf("%s: CONNECT was answered %v", url, res.Header)
			}
		}
		return nil
	}
	res, err := c.Do(req)
	if err != nil {
		if status != 502 {
			t.Errorf("%s: %v", url, err)
		}
		return
	}
	res.Body.Close()
	if res.StatusCode != 502 || !saysLoop(res) {
		t.Errorf("%s: %d %v", url, res.StatusCode, res.Header)
	}
}
