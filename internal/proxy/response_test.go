package proxy

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// scripted is an upstream of HTTP/1.1 that answers each connection's first
// request with the given bytes and closes.
func (a *authorityForTests) scripted(t *testing.T, host, answer string) string {
	t.Helper()
	l := a.listenTLS(t, host, nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				io.WriteString(c, answer)
			}
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return net.JoinHostPort(host, port)
}

func TestResponsePassesUnchanged(t *testing.T) {
	const html = "<html>sniff me</html>"
	for name, answer := range map[string]string{
		"nothing but a length": "HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n" + html,
		"until close":          "HTTP/1.1 200 OK\r\n\r\n" + html,
		"HTTP/1.0":             "HTTP/1.0 200 OK\r\n\r\n" + html,
		"chunked":              "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n15\r\n" + html + "\r\n0\r\n\r\n",
		"empty":                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"empty and chunked":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"204":                  "HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n",
		"date and server":      "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nServer: it\r\nContent-Length: 0\r\n\r\n",
		"own date":             "HTTP/1.1 200 OK\r\nDate: yesterday\r\nContent-Type: \r\nContent-Length: 0\r\n\r\n",
		"cookies":              "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2; Path=/\r\nSet-Cookie: a=1\r\nContent-Length: 0\r\n\r\n",
		"a 401 of its own":     "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer a=\"b\"\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n",
		"a redirect":           "HTTP/1.1 302 Found\r\nLocation: https://other.test/?a b\r\nContent-Length: 0\r\n\r\n",
		"compressed":           "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
		"via and status":       "HTTP/1.1 200 OK\r\nVia: 1.1 cdn\r\nProxy-Status: cdn; error=x\r\nContent-Length: 0\r\n\r\n",
		"unusual status":       "HTTP/1.1 299 Fine\r\nContent-Length: 0\r\n\r\n",
		"empty value":          "HTTP/1.1 200 OK\r\nX-Empty: \r\nX-Latin: caf\xe9\r\nContent-Length: 0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			origins := newOrigins(t)
			api := origins.scripted(t, "api.test", answer)
			w := newWorld(t, origins, worldOptions{prefixes: []string{"https://" + api + "/v1"}})
			want := readReply(t, bufio.NewReader(strings.NewReader(answer)), "GET")
			for _, path := range []string{"/v1/x", "/v2/x"} {
				wantReply(t, "h1", rawHTTP1(t, w.tlsTo(api, "http/1.1"), "GET", get1(path, api)), want)
				wantReply(t, "h2", newHTTP2Raw(t, w.tlsTo(api, "h2")).request(get2(path, api), "", nil), want)
			}
		})
	}
}

// wantReply holds what a client got against what the upstream sent.
func wantReply(t *testing.T, client string, got, want reply) {
	t.Helper()
	if got.err != nil || want.err != nil {
		t.Fatalf("%s client: %v, %v", client, got.err, want.err)
	}
	if got.status != want.status || got.body != want.body || !reflect.DeepEqual(got.header, want.header) {
		t.Errorf("%s client got\n%+v\nthe upstream sent\n%+v", client, got, want)
	}
}

func TestPlainResponsePassesUnchanged(t *testing.T) {
	l := listenLoopback(t)
	const answer = "HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 6\r\n\r\n<html>"
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			io.WriteString(c, answer)
		}
	}()
	t.Cleanup(func() { <-done })
	w := newWorld(t, newOrigins(t), worldOptions{})
	want := readReply(t, bufio.NewReader(strings.NewReader(answer)), "GET")
	wantReply(t, "h1", rawHTTP1(t, w.door(), "GET", get1("http://"+l.Addr().String()+"/", "x")), want)
}

// Fields that the upstream meant for this hop end here.
func TestHopByHopFieldsOfTheUpstreamNeverPass(t *testing.T) {
	origins := newOrigins(t)
	api := origins.scripted(t, "api.test", "HTTP/1.1 200 OK\r\nConnection: X-Secret, keep-alive\r\nX-Secret: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: close\r\n"+
		"Proxy-Authenticate: Basic\r\nUpgrade: h2c\r\nX-Kept: 1\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, Keep-Alive\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\nKeep-Alive: 1\r\nConnection: X-Kept\r\nProxy-Connection: x\r\n\r\n")
	w := newWorld(t, origins, worldOptions{})
	w.setRules(worldOptions{prefixes: []string{"https://" + api + "/v1"}}, w.proxy.o.Upstream)
	for client, r := range map[string]reply{
		"h1": rawHTTP1(t, w.tlsTo(api, "http/1.1"), "GET", get1("/v1/x", api)),
		"h2": newHTTP2Raw(t, w.tlsTo(api, "h2")).request(get2("/v1/x", api), "", nil),
	} {
		r.header.Del("Trailer") // announces to the next hop
		wantOnly(t, client+" header", r.header, "X-Kept")
		wantOnly(t, client+" trailer", r.trailer, "X-Sum")
		if r.body != "hi" {
			t.Errorf("%s: body %q, %v", client, r.body, r.err)
		}
	}
}
