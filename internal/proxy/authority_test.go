package proxy

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
)

// watched is a world with one rule on one upstream, that counts what reaches
// the route, and what reaches out for a connection.
type watched struct {
	*world
	authority string
	upstream  *recorder
	asked     atomic.Int32 // times the route was asked, so a token acquired
	resolved  atomic.Int32 // times a connection was begun
}

func newWatched(t *testing.T, proto string) *watched {
	t.Helper()
	w := &watched{upstream: new(recorder)}
	origins := newOrigins(t)
	w.authority = origins.startUpstream(t, "api.test", proto, w.upstream)
	w.world = newWorld(t, origins, worldOptions{
		prefixes: []string{"https://" + w.authority + "/v1"},
		route: func(prefix string, next http.RoundTripper) http.RoundTripper {
			attach := attachToken(prefix, next)
			return roundTripperFunc(func(r *http.Request) (*http.Response, error) {
				w.asked.Add(1)
				return attach.RoundTrip(r)
			})
		},
		dial: DialOptions{Resolve: func(ctx context.Context, host string) ([]netip.Addr, error) {
			w.resolved.Add(1)
			return resolveTest(ctx, host)
		}},
	})
	return w
}

// wantNothingSent fails if a request left the proxy.
func (w *watched) wantNothingSent(t *testing.T) {
	t.Helper()
	if s := w.upstream.take(); len(s) > 0 {
		t.Errorf("the upstream saw %+v", s)
	}
	if n := w.asked.Swap(0); n > 0 {
		t.Errorf("the route was asked %d times", n)
	}
	if n := w.resolved.Swap(0); n > 0 {
		t.Errorf("%d connections were begun", n)
	}
}

func (w *watched) port() string {
	_, port, _ := net.SplitHostPort(w.authority)
	return port
}

func TestForeignAuthorityInHTTP1IsMisdirected(t *testing.T) {
	w := newWatched(t, "h1")
	port := w.port()
	for name, raw := range map[string]string{
		"host":                  get1("/v1/x", "evil.test:"+port),
		"host that begins so":   get1("/v1/x", "api.test.evil.test:"+port),
		"host as subdomain":     get1("/v1/x", "x.api.test:"+port),
		"no port":               get1("/v1/x", "api.test"),
		"other port":            get1("/v1/x", "api.test:1"),
		"address":               get1("/v1/x", "127.0.0.1:"+port),
		"absolute form":         get1("https://evil.test:"+port+"/v1/x", w.authority),
		"absolute, other port":  get1("https://api.test/v1/x", w.authority),
		"absolute http":         get1("http://"+w.authority+"/v1/x", w.authority),
		"absolute ftp":          get1("ftp://"+w.authority+"/v1/x", w.authority),
		"nested CONNECT":        request1("CONNECT", w.authority, []string{"Host: " + w.authority}, ""),
		"nested CONNECT away":   request1("CONNECT", "evil.test:443", []string{"Host: evil.test:443"}, ""),
		"host in HTTP/1.0":      "GET /v1/x HTTP/1.0\r\nHost: evil.test\r\n\r\n",
		"POST with body":        request1("POST", "/v1/x", []string{"Host: evil.test", "Content-Length: 2"}, "hi"),
		"homograph":             get1("/v1/x", "аpi.test:"+port),
		"connection-named host": get1("/v1/x", "evil.test:"+port, "Connection: host"),
	} {
		t.Run(name, func(t *testing.T) {
			method, _, _ := strings.Cut(raw, " ")
			res := rawHTTP1(t, w.tlsTo(w.authority, "http/1.1"), method, raw)
			if name == "homograph" { // net/http itself knows no such Host
				wantAnswer(t, res, 400, "malformed-request")
			} else {
				wantAnswer(t, res, 421, "authority-mismatch")
			}
			w.wantNothingSent(t)
		})
	}
}

func TestMalformedHostInHTTP1IsRefused(t *testing.T) {
	w := newWatched(t, "h1")
	for name, raw := range map[string]string{
		"path in host":      get1("/v1/x", w.authority+"/v1?"),
		"slash and query":   get1("/v1/x", "a/b?"),
		"userinfo":          get1("/v1/x", "a@b"),
		"userinfo, ours":    get1("/v1/x", "evil@"+w.authority),
		"missing":           request1("GET", "/v1/x", []string{"X: y"}, ""),
		"empty":             get1("/v1/x", ""),
		"double":            get1("/v1/x", w.authority, "Host: "+w.authority),
		"double, foreign":   get1("/v1/x", w.authority, "Host: evil.test"),
		"missing in 1.0":    "GET /v1/x HTTP/1.0\r\n\r\n",
		"empty port":        get1("/v1/x", "api.test:"),
		"port with zero":    get1("/v1/x", "api.test:0"+w.port()),
		"blank inside":      get1("/v1/x", "api.test evil.test"),
		"two ports":         get1("/v1/x", w.authority+":1"),
		"percent":           get1("/v1/x", "api%2etest:"+w.port()),
		"comma":             get1("/v1/x", w.authority+",evil.test"),
		"octal address":     get1("/v1/x", "0177.0.0.1:"+w.port()),
		"userinfo absolute": get1("https://user@"+w.authority+"/v1/x", w.authority),
		"no slash":          get1("v1/x", w.authority),
		"fragment":          get1("/v1/x#y", w.authority),
		"asterisk GET":      get1("*", w.authority),
	} {
		t.Run(name, func(t *testing.T) {
			wantAnswer(t, rawHTTP1(t, w.tlsTo(w.authority, "http/1.1"), "GET", raw), 400, "malformed-request")
			w.wantNothingSent(t)
		})
	}
}

func TestForeignAuthorityInHTTP2IsMisdirected(t *testing.T) {
	w := newWatched(t, "h2")
	port := w.port()
	for name, header := range map[string]fields{
		"authority":            get2("/v1/x", "evil.test:"+port),
		"other port":           get2("/v1/x", "api.test:1"),
		"no port":              get2("/v1/x", "api.test"),
		"host beside":          get2("/v1/x", w.authority, "host", "evil.test"),
		"host, no authority":   {":method", "GET", ":scheme", "https", ":path", "/v1/x", "host", "evil.test"},
		"authority, good host": get2("/v1/x", "evil.test", "host", w.authority),
		"CONNECT":              {":method", "CONNECT", ":authority", w.authority},
		"CONNECT away":         {":method", "CONNECT", ":authority", "evil.test:443"},
	} {
		t.Run(name, func(t *testing.T) {
			wantAnswer(t, newHTTP2Raw(t, w.tlsTo(w.authority, "h2")).request(header, "", nil), 421, "authority-mismatch")
			w.wantNothingSent(t)
		})
	}
}

func TestMalformedHTTP2IsRefused(t *testing.T) {
	for _, upstream := range []string{"h1", "h2"} {
		w := newWatched(t, upstream)
		for name, c := range map[string]struct {
			header fields
			reset  bool // net/http resets the stream, as RFC 9113, section 8.1.1 has it
		}{
			"slash and query":       {header: get2("/v1/x", "a/b?")},
			"userinfo":              {header: get2("/v1/x", "a@b"), reset: true},
			"no authority":          {header: fields{":method", "GET", ":scheme", "https", ":path", "/v1/x"}},
			"double host":           {header: get2("/v1/x", w.authority, "host", w.authority, "host", w.authority)},
			"absolute path":         {header: get2("https://"+w.authority+"/v1/x", w.authority)},
			"absolute path, away":   {header: get2("https://evil.test/v1/x", w.authority)},
			"blank in path":         {header: get2("/v1/x HTTP/1.0", w.authority)},
			"blank in query":        {header: get2("/v1/x?a b", w.authority)},
			"fragment":              {header: get2("/v1/x#y", w.authority)},
			"line break in path":    {header: get2("/v1/x\r\nX: y", w.authority), reset: true},
			"no slash":              {header: get2("v1/x", w.authority), reset: true},
			"blank in method":       {header: fields{":method", "GET /a", ":scheme", "https", ":authority", w.authority, ":path", "/v1/x"}},
			"line break in value":   {header: get2("/v1/x", w.authority, "x-a", "b\r\nX-C: d"), reset: true},
			"NUL in value":          {header: get2("/v1/x", w.authority, "x-a", "b\x00"), reset: true},
			"upper case name":       {header: get2("/v1/x", w.authority, "X-A", "b"), reset: true},
			"blank in name":         {header: get2("/v1/x", w.authority, "x a", "b"), reset: true},
			"second authority":      {header: append(get2("/v1/x", w.authority), ":authority", "evil.test"), reset: true},
			"pseudo behind regular": {header: fields{":method", "GET", ":scheme", "https", "x-a", "b", ":authority", w.authority, ":path", "/v1/x"}, reset: true},
			"extended CONNECT":      {header: fields{":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", w.authority, ":path", "/v1/x"}, reset: true},
		} {
			t.Run(name+", "+upstream+" upstream", func(t *testing.T) {
				res := newHTTP2Raw(t, w.tlsTo(w.authority, "h2")).request(c.header, "", nil)
				switch {
				case !c.reset:
					wantAnswer(t, res, 400, "malformed-request")
				case !res.reset():
					t.Errorf("%+v, want the stream reset", res)
				}
				w.wantNothingSent(t)
			})
		}
	}
}

func TestSpellingsOfTheSameAuthority(t *testing.T) {
	for _, upstream := range []string{"h1", "h2"} {
		w := newWatched(t, upstream)
		port := w.port()
		for _, host := range []string{w.authority, "API.Test:" + port, "api.test.:" + port, "aPi.TeSt.:" + port} {
			for _, connect := range []string{w.authority, "API.test:" + port, "api.test.:" + port} {
				wantInjected := func(res reply) {
					t.Helper()
					s := w.upstream.take()
					if res.status != 200 || len(s) != 1 || s[0].header.Get("X-Token") == "" || s[0].host != host {
						t.Errorf("CONNECT %s, Host %s: %d, upstream saw %+v", connect, host, res.status, s)
					}
				}
				wantInjected(rawHTTP1(t, w.tlsTo(connect, "http/1.1"), "GET", get1("/v1/x", host)))
				wantInjected(rawHTTP1(t, w.tlsTo(connect, "http/1.1"), "GET", get1("https://"+host+"/v1/x", "ignored.test")))
				wantInjected(newHTTP2Raw(t, w.tlsTo(connect, "h2")).request(get2("/v1/x", host), "", nil))
			}
		}
	}
}

// A name without a port, and with :443 spelled out, are one authority.
func TestDefaultPortSpelledOut(t *testing.T) {
	addr := netip.MustParseAddr("127.83.12.41")
	l, err := net.Listen("tcp", netip.AddrPortFrom(addr, 443).String())
	if err != nil {
		unavailable(t, "port 443: "+err.Error())
	}
	origins, upstream := newOrigins(t), new(recorder)
	origins.serveUpstream(t, l, "api.test", "h2", upstream)
	w := newWorld(t, origins, worldOptions{
		prefixes: []string{"https://api.test/v1"},
		dial:     DialOptions{Resolve: func(context.Context, string) ([]netip.Addr, error) { return []netip.Addr{addr}, nil }},
	})
	for _, host := range []string{"api.test", "api.test:443", "API.TEST.", "api.test.:443"} {
		for i, res := range []reply{
			rawHTTP1(t, w.tlsTo("api.test:443", "http/1.1"), "GET", get1("/v1/x", host)),
			newHTTP2Raw(t, w.tlsTo("api.test:443", "h2")).request(get2("/v1/x", host), "", nil),
		} {
			s := upstream.take()
			if res.status != 200 {
				t.Errorf("%s, request %d: %d %s", host, i, res.status, res.body)
			}
			for _, s := range s {
				if s.header.Get("X-Token") == "" || s.host != host {
					t.Errorf("%s: upstream saw %+v", host, s)
				}
			}
		}
	}
	res := rawHTTP1(t, w.tlsTo("api.test:443", "http/1.1"), "GET", get1("/v1/x", "api.test:8443"))
	wantAnswer(t, res, 421, "authority-mismatch")
}
