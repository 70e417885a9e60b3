package proxy

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"testing"
)

// What a new connection costs, client's side included: CONNECT and handshake,
// whole and resumed, and a request behind them on an upstream connection that
// is there already.
func BenchmarkNewConnection(b *testing.B) {
	origins := newOrigins(b)
	api := origins.startUpstream(b, "api.test", "h1", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }))
	for name, o := range map[string]struct{ far, resumed, request bool }{
		"with a request":           {request: true},
		"resumed, with a request":  {request: true, resumed: true},
		"handshake alone":          {},
		"handshake from elsewhere": {far: true},
	} {
		b.Run(name, func(b *testing.B) {
			l := listenLoopback(b)
			addr := l.Addr().String()
			if o.far {
				l = farListener{l}
			}
			w := newWorld(b, origins, worldOptions{prefixes: []string{"https://" + api + "/"}, listener: l})
			cfg := &tls.Config{RootCAs: w.roots, ServerName: "api.test"}
			if o.resumed {
				cfg.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			}
			newConnection(b, addr, api, cfg, true) // makes the connection upstream, and a session
			b.ReportAllocs()
			for b.Loop() {
				if newConnection(b, addr, api, cfg, o.request) != o.resumed {
					b.Fatalf("resumed: want %t", o.resumed)
				}
			}
		})
	}
}

// newConnection makes an interception, with a request if that is asked for,
// ends it and reports whether a session was resumed.
func newConnection(b *testing.B, proxy, authority string, cfg *tls.Config, request bool) (resumed bool) {
	c, err := net.Dial("tcp", proxy)
	fatal(b, err)
	defer c.Close()
	_, err = io.WriteString(c, "CONNECT "+authority+" HTTP/1.1\r\nHost: "+authority+"\r\n\r\n")
	fatal(b, err)
	readHead(b, c)
	tc := tls.Client(c, cfg)
	fatal(b, tc.Handshake())
	if !request {
		return tc.ConnectionState().DidResume
	}
	_, err = io.WriteString(tc, get1("/", authority))
	fatal(b, err)
	res, err := http.ReadResponse(bufio.NewReader(tc), nil)
	fatal(b, err)
	_, err = io.Copy(io.Discard, res.Body)
	fatal(b, err)
	return tc.ConnectionState().DidResume
}
