package proxy

import (
	"crypto/tls"
	"io"
	"maps"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// pair is an upstream reached in two ways: directly and through a proxy.
type pair struct {
	*watched
	addr string
}

func newPair(t *testing.T, upstream string) *pair {
	w := newWatched(t, upstream)
	return &pair{w, net.JoinHostPort("127.0.0.1", w.port())}
}

// direct connects to the upstream without the proxy.
func (p *pair) direct(t *testing.T, proto string) *tls.Conn {
	t.Helper()
	c, err := tls.Dial("tcp", p.addr, &tls.Config{RootCAs: p.origins.pool, ServerName: "api.test", NextProtos: []string{proto}})
	fatal(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// one returns the single request that the upstream saw.
func (p *pair) one(t *testing.T, res reply) seen {
	t.Helper()
	list := p.upstream.take()
	if res.status != 200 || len(list) != 1 {
		t.Fatalf("%d %s %v: upstream saw %+v, want one request", res.status, res.body, res.err, list)
	}
	if s := list[0]; s.bodyErr != nil {
		t.Errorf("body: %v", s.bodyErr)
	}
	return list[0]
}

// wantSame fails unless the upstream saw through the proxy what it saw
// directly, but for the fields of removed and the token.
func wantSame(t *testing.T, through, direct seen, removed ...string) {
	t.Helper()
	for _, k := range removed {
		direct.header.Del(k)
	}
	token := through.header.Values("X-Token")
	if wanted := strings.HasPrefix(through.target, "/v1"); wanted != (len(token) == 1) {
		t.Errorf("%s: token %q", through.target, token)
	}
	through.header.Del("X-Token")
	through.proto, direct.proto = "", "" // mirrored where the upstream can
	if !reflect.DeepEqual(through, direct) {
		t.Errorf("through the proxy the upstream saw\n%+v\nand directly\n%+v", through, direct)
	}
}

// headersToPass are header sets that arrive as they were sent.
var headersToPass = map[string]fields{
	"none":              {},
	"user agent":        {"user-agent", "curl/8"},
	"accept-encoding":   {"accept-encoding", "gzip, br"},
	"forwarding":        {"x-forwarded-for", "1.2.3.4", "x-forwarded-for", "5.6.7.8", "x-forwarded-host", "a", "x-forwarded-proto", "http", "forwarded", "for=1.2.3.4"},
	"via":               {"via", "1.1 other", "via", "2 more"},
	"cookies":           {"cookie", "a=b; c=d"},
	"duplicates":        {"x-a", "1", "x-a", "2", "x-a", "1"},
	"empty value":       {"x-empty", "", "x-a", "b"},
	"conditional":       {"if-none-match", `W/"x"`, "range", "bytes=0-1", "cache-control", "no-cache", "pragma", "no-cache"},
	"cors":              {"origin", "null", "access-control-request-method", "PUT", "referer", "https://x/"},
	"mcp":               {"mcp-session-id", "s", "accept", "application/json, text/event-stream", "last-event-id", "7"},
	"own authorization": {"authorization", "Bearer client"},
	"non-ASCII value":   {"x-a", "caf\xc3\xa9 \xff"},
	"unusual name":      {"x!#$%&'*+.^_`|~9", "v"},
	"underscore":        {"x_a", "v"},
	"inner blanks":      {"x-a", "a  b\tc"},
	"te trailers":       {"te", "trailers"},
}

// targetsToPass arrive byte for byte.
var targetsToPass = []string{
	"/", "/v1/x", "/v1/", "/v1?", "/v1/x?", "/v1/x?a=b&&c", "/v1/x?a;b=c;d", "/v1/x?%zz", "/v1/x?%", "/v1/x?a=b+c%20d?e/f", "/v1/x?=", "/v1/x?&",
	"/v1/x?\"<>\\^`{|}", "/v1/x?\xc3\xa9\xff", "/v1/x?https://other.test/", "/v1/x|y", `/v1/x"y`, "/v1/x^y", "/v1/{x}", "/v1/`x`", "/v1/<x>", "/v1/[x]",
	"/v1/caf\xc3\xa9", "/v1/%7e~", "/v1/%7E", "/v1/a%2Fb", "/v1/a%2fb", "/v1//x", "/v1/x//", "//v1/x", "/v1/x;a=b", "/v1/a..b", "/v1/%41", "/v1/!$&'()*+,;=:@",
	"/v1/%25", "/v2/../v1/x", "/v2/./x", "/v2/x/..", `/v2\x`, "/v2/%2e%2e/x", "/v2/%00", "/v2/|%zz"[:len("/v2/|")],
}

func TestHeadersPassUnchanged(t *testing.T) {
	for _, upstream := range []string{"h1", "h2"} {
		p := newPair(t, upstream)
		for name, header := range headersToPass {
			for _, path := range []string{"/v1/x", "/v2/x"} {
				t.Run(name+" to "+path+", h1 client, "+upstream+" upstream", func(t *testing.T) {
					var lines []string
					for i := 0; i < len(header); i += 2 {
						lines = append(lines, header[i]+": "+header[i+1])
					}
					var removed []string
					if name == "te trailers" {
						lines = append(lines, "Connection: TE")
						removed = []string{"Connection"}
					}
					raw := get1(path, p.authority, lines...)
					direct := p.one(t, rawHTTP1(t, p.direct(t, "http/1.1"), "GET", raw))
					wantSame(t, p.one(t, rawHTTP1(t, p.tlsTo(p.authority, "http/1.1"), "GET", raw)), direct, removed...)
				})
				t.Run(name+" to "+path+", h2 client, "+upstream+" upstream", func(t *testing.T) {
					through := p.one(t, newHTTP2Raw(t, p.tlsTo(p.authority, "h2")).request(get2(path, p.authority, header...), "", nil))
					direct := seen{method: "GET", target: path, host: p.authority, header: header.canonical()}
					if upstream == "h2" {
						direct = p.one(t, newHTTP2Raw(t, p.direct(t, "h2")).request(get2(path, p.authority, header...), "", nil))
					}
					wantSame(t, through, direct)
				})
			}
		}
	}
}

func TestTargetsPassByteForByte(t *testing.T) {
	for _, upstream := range []string{"h1", "h2"} {
		p := newPair(t, upstream)
		c1, c2 := p.tlsTo(p.authority, "http/1.1"), newHTTP2Raw(t, p.tlsTo(p.authority, "h2"))
		for _, target := range targetsToPass {
			if s := p.one(t, rawHTTP1(t, c1, "GET", get1(target, p.authority))); s.target != target {
				t.Errorf("h1 client, %s upstream: saw %q, want %q", upstream, s.target, target)
			}
			if s := p.one(t, rawHTTP1(t, c1, "GET", get1("https://"+p.authority+target, p.authority))); s.target != target {
				t.Errorf("absolute form, %s upstream: saw %q, want %q", upstream, s.target, target)
			}
			if s := p.one(t, c2.request(get2(target, p.authority), "", nil)); s.target != target {
				t.Errorf("h2 client, %s upstream: saw %q, want %q", upstream, s.target, target)
			}
		}
		if s := p.one(t, rawHTTP1(t, c1, "GET", get1("https://"+p.authority+"?q", p.authority))); s.target != "/?q" {
			t.Errorf("absolute form without a path: saw %q", s.target)
		}
		if s := p.one(t, rawHTTP1(t, c1, "OPTIONS", request1("OPTIONS", "*", []string{"Host: " + p.authority}, ""))); s.target != "*" || s.method != "OPTIONS" {
			t.Errorf("OPTIONS *: saw %q", s.target)
		}
		header := get2("*", p.authority)
		header[1] = "OPTIONS"
		if s := p.one(t, c2.request(header, "", nil)); s.target != "*" || s.method != "OPTIONS" {
			t.Errorf("OPTIONS * over h2: saw %q", s.target)
		}
	}
}

func TestMethodsAndBodiesPassUnchanged(t *testing.T) {
	for _, upstream := range []string{"h1", "h2"} {
		p := newPair(t, upstream)
		for name, c := range map[string]struct {
			method string
			header []string
			body   string
		}{
			"POST of nothing":    {"POST", []string{"Content-Length: 0"}, ""},
			"PUT of nothing":     {"PUT", []string{"Content-Length: 0"}, ""},
			"POST":               {"POST", []string{"Content-Length: 5", "Content-Type: text/plain"}, "hello"},
			"POST, no type":      {"POST", []string{"Content-Length: 5"}, "\x00\x01\xff\r\n"},
			"GET with body":      {"GET", []string{"Content-Length: 5"}, "hello"},
			"DELETE with body":   {"DELETE", []string{"Content-Length: 2"}, "{}"},
			"chunked":            {"POST", []string{"Transfer-Encoding: chunked"}, "5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n"},
			"chunked of nothing": {"POST", []string{"Transfer-Encoding: chunked"}, "0\r\n\r\n"},
			"trailers":           {"POST", []string{"Transfer-Encoding: chunked", "Trailer: X-Sum, X-More"}, "5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-More: \r\n\r\n"},
			"other method":       {"PROPFIND", nil, ""},
			"lower-case method":  {"get", nil, ""},
			"HEAD":               {"HEAD", nil, ""},
			"DELETE":             {"DELETE", nil, ""},
			"OPTIONS":            {"OPTIONS", nil, ""},
		} {
			t.Run(name+", "+upstream+" upstream", func(t *testing.T) {
				raw := request1(c.method, "/v1/x", append([]string{"Host: " + p.authority}, c.header...), c.body)
				direct := p.one(t, rawHTTP1(t, p.direct(t, "http/1.1"), c.method, raw))
				through := p.one(t, rawHTTP1(t, p.tlsTo(p.authority, "http/1.1"), c.method, raw))
				wantSame(t, through, direct)

				if name == "chunked of nothing" {
					return // HTTP/2 has only one way to send nothing
				}
				header := append(fields{":method", c.method}, get2("/v1/x", p.authority)[2:]...)
				for _, l := range c.header {
					if k, v, _ := strings.Cut(l, ": "); k != "Transfer-Encoding" {
						header = append(header, strings.ToLower(k), v)
					}
				}
				var trailer fields
				if name == "trailers" {
					trailer = fields{"x-sum", "1", "x-more", ""}
				}
				through = p.one(t, newHTTP2Raw(t, p.tlsTo(p.authority, "h2")).request(header, direct.body, trailer))
				if len(direct.trailer) == 0 {
					direct.trailer = through.trailer // nil and empty
				}
				if len(through.trailer) == 0 {
					through.trailer = direct.trailer
				}
				wantSame(t, through, direct)
			})
		}
	}
}

// Fields for the next hop end here, in headers and trailers.
func TestHopByHopFieldsNeverPass(t *testing.T) {
	for _, upstream := range []string{"h1", "h2"} {
		p := newPair(t, upstream)
		raw := request1("POST", "/v1/x", []string{
			"Host: " + p.authority, "Connection: X-Secret, keep-alive, x-other", "Connection: X-Third, TE", "X-Secret: 1", "X-Other: 1", "X-Third: 1", "Keep-Alive: timeout=5",
			"TE: gzip, trailers;q=0.5, deflate", "Proxy-Authorization: Basic x", "Proxy-Connection: keep-alive", "Proxy-Anything: 1", "Proxy-Authenticate: x", "X-Kept: 1",
			"Transfer-Encoding: chunked", "Trailer: X-Sum, Proxy-Sum, Connection, Authorization, Keep-Alive, Host, TE, Upgrade",
		}, "2\r\nhi\r\n0\r\nX-Sum: 1\r\nProxy-Sum: 1\r\nConnection: X-Kept\r\nAuthorization: Bearer x\r\nProxy-Authorization: x\r\nKeep-Alive: 1\r\nHost: evil.test\r\nTE: x\r\nX-Undeclared: 1\r\nUpgrade: h2c\r\n\r\n")
		s := p.one(t, rawHTTP1(t, p.tlsTo(p.authority, "http/1.1"), "POST", raw))
		wantOnly(t, upstream+", h1 client: header", s.header, "X-Kept", "X-Token")
		wantOnly(t, upstream+", h1 client: trailer", s.trailer, "X-Sum")

		header := append(fields{":method", "POST"}, get2("/v1/x", p.authority, "proxy-authorization", "Basic x", "proxy-anything", "1", "x-kept", "1", "http2-settings", "AAAA",
			"trailer", "x-sum, proxy-sum, http2-settings")[2:]...)
		s = p.one(t, newHTTP2Raw(t, p.tlsTo(p.authority, "h2")).request(header, "hi", fields{
			"x-sum", "1", "proxy-sum", "1", "x-undeclared", "1", "proxy-other", "x"}))
		wantOnly(t, upstream+", h2 client: header", s.header, "X-Kept", "X-Token")
		wantOnly(t, upstream+", h2 client: trailer", s.trailer, "X-Sum")
		for _, name := range []string{"authorization", "host", "connection", "transfer-encoding", "content-length"} {
			res := newHTTP2Raw(t, p.tlsTo(p.authority, "h2")).request(append(header, "trailer", name), "hi", fields{name, "x"})
			for _, s := range p.upstream.take() {
				if s.bodyErr == nil || len(s.trailer) > 0 && s.trailer.Get(name) != "" {
					t.Errorf("trailer %s: %+v, upstream saw %+v", name, res, s)
				}
			}
		}
	}
}

func wantOnly(t *testing.T, what string, h http.Header, want ...string) {
	t.Helper()
	got := slices.DeleteFunc(slices.Sorted(maps.Keys(h)), func(k string) bool {
		// The framing is that of the leg, and trailers are asked for again
		// by whoever can take them.
		return k == "Te" && h.Get(k) == "trailers" || k == "Content-Length"
	})
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s has %q, want %q", what, h, want)
	}
}

func TestUpgradeToHTTP2NeverPasses(t *testing.T) {
	p := newPair(t, "h1")
	for _, upgrade := range []string{"h2c", "H2C", "websocket, h2c", "h2c, websocket"} {
		raw := get1("/v1/x", p.authority, "Connection: Upgrade, HTTP2-Settings", "Upgrade: "+upgrade, "HTTP2-Settings: AAMAAABkAAQAAP__")
		c := p.tlsTo(p.authority, "http/1.1")
		wantOnly(t, upgrade, p.one(t, rawHTTP1(t, c, "GET", raw)).header, "X-Token")
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("behind an upgrade that was not granted: %v, want the connection closed", err)
		}
	}
}
