package proxy

import (
	"context"
	"encoding/base64"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
)

// corporate is an upstream proxy as companies have them: a forward proxy that
// demands a credential and is the only one to know where the upstreams are.
type corporate struct {
	url    *url.URL // with the right credential
	refuse int      // answer every CONNECT with this status
	mu     sync.Mutex
	seen   []seen
}

const (
	proxyUser     = "alice"
	proxyPassword = "pässwörd-rosebud" // not ASCII, and no part of any other text
)

// startCorporate starts an upstream proxy that is spoken to by scheme.
func startCorporate(t testing.TB, origins *authorityForTests, scheme string) *corporate {
	t.Helper()
	var l net.Listener
	if scheme == "https" {
		l = origins.listenTLS(t, "proxy.test", nil)
	} else {
		l = listenLoopback(t)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	p := &corporate{url: &url.URL{Scheme: scheme, User: url.UserPassword(proxyUser, proxyPassword), Host: "proxy.test:" + port}}
	var tunnels sync.WaitGroup
	s := &http.Server{ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tunnels.Add(1)
		defer tunnels.Done()
		p.serve(w, r)
	})
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() { s.Close(); <-done; tunnels.Wait() })
	return p
}

func (p *corporate) serve(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.seen = append(p.seen, seen{proto: r.Proto, method: r.Method, target: r.RequestURI, host: r.Host, header: r.Header.Clone()})
	p.mu.Unlock()
	switch {
	case r.Header.Get("Proxy-Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte(proxyUser+":"+proxyPassword)):
		w.Header().Set("Proxy-Authenticate", `Basic realm="corporate"`)
		http.Error(w, "who are you?", http.StatusProxyAuthRequired)
	case p.refuse != 0 && r.Method == http.MethodConnect:
		http.Error(w, "no", p.refuse)
	case r.Method == http.MethodConnect:
		p.tunnel(w, r)
	default:
		(&httputil.ReverseProxy{
			Rewrite: func(*httputil.ProxyRequest) {},
			Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				return dialLoopback(addr)
			}},
		}).ServeHTTP(w, r)
	}
}

func (p *corporate) tunnel(w http.ResponseWriter, r *http.Request) {
	up, err := dialLoopback(r.RequestURI)
	if err != nil {
		http.Error(w, "nobody there", http.StatusBadGateway)
		return
	}
	defer up.Close()
	c, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	io.WriteString(c, "HTTP/1.1 200 OK\r\nX-Filler: a header that has to be read to its end\r\n\r\n")
	var both sync.WaitGroup
	both.Go(func() { io.Copy(up, buffered); closeWrite(up) })
	io.Copy(c, up)
	closeWrite(c)
	both.Wait()
}

// dialLoopback connects to the port of addr, whatever its host.
func dialLoopback(addr string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	return net.Dial("tcp", net.JoinHostPort("127.0.0.1", port))
}

// take returns what the proxy saw since the last call.
func (p *corporate) take() []seen {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.seen
	p.seen = nil
	return list
}

// always is an upstream proxy for every URL.
func always(u *url.URL) func(*url.URL) (*url.URL, error) {
	return func(*url.URL) (*url.URL, error) { return u, nil }
}
