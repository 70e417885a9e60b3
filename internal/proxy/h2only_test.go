package proxy

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// counted is an upstream that counts its connections.
type counted struct {
	authority string
	conns     atomic.Int64 // that were accepted
}

// startH2Only starts a TLS server that offers "h2" alone and refuses the
// handshake of a client without it.
func (a *authorityForTests) startH2Only(t testing.TB, host string, h http.HandlerFunc) *counted {
	t.Helper()
	return a.startCounted(t, host, h, false, true)
}

func (a *authorityForTests) startCounted(t testing.TB, host string, h http.HandlerFunc, h1, h2 bool) *counted {
	t.Helper()
	l := listenLoopback(t)
	u := new(counted)
	s := &http.Server{Handler: h, Protocols: new(http.Protocols), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	s.Protocols.SetHTTP1(h1)
	s.Protocols.SetHTTP2(h2)
	s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{a.issue(t, host, nil)}}
	s.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			u.conns.Add(1)
		}
	}
	done := make(chan error, 1)
	go func() { done <- s.ServeTLS(l, "", "") }()
	t.Cleanup(func() { s.Close(); <-done })
	_, port, _ := net.SplitHostPort(l.Addr().String())
	u.authority = net.JoinHostPort(host, port)
	return u
}

// start starts api.test as an "h1", "h2" or "h2 only" upstream.
func (a *authorityForTests) start(t testing.TB, proto string, h http.HandlerFunc) string {
	t.Helper()
	return a.startCounted(t, "api.test", h, proto != "h2 only", proto != "h1").authority
}

func digest(w http.ResponseWriter, r *http.Request) {
	h := sha256.New()
	n, err := io.Copy(h, r.Body)
	fmt.Fprintf(w, "%s %d %v %x", r.Proto, n, err, h.Sum(nil))
}

func TestUpstreamWithoutHTTP1(t *testing.T) {
	t.Parallel()
	for _, client := range []string{"h1", "h2"} {
		t.Run(client, func(t *testing.T) {
			origins := newOrigins(t)
			u := origins.startH2Only(t, "api.test", digest)
			r := rigTo(t, origins, u.authority, client)
			body := strings.Repeat("a body that must arrive whole ", 10_000)
			for i := range 3 {
				for _, length := range []int64{int64(len(body)), -1} {
					req := r.request("POST", "", io.NopCloser(strings.NewReader(body)))
					req.ContentLength = length
					got, err := io.ReadAll(r.do(req).Body)
					want := fmt.Sprintf("HTTP/2.0 %d <nil> %x", len(body), sha256.Sum256([]byte(body)))
					if err != nil || string(got) != want {
						t.Errorf("request %d: %s, %v, want %s", i, got, err, want)
					}
				}
			}
			// One that was refused, one that serves all; the refusal is
			// remembered.
			if got, want := u.conns.Load(), map[string]int64{"h1": 2, "h2": 1}[client]; got != want {
				t.Errorf("%d connections, want %d", got, want)
			}
		})
	}
}

func TestUpstreamWithoutHTTP1ManyAtOnce(t *testing.T) {
	t.Parallel()
	origins := newOrigins(t)
	u := origins.startH2Only(t, "api.test", digest)
	r := rigTo(t, origins, u.authority, "h1")
	const clients = 16
	answers := make(chan string, clients)
	for i := range clients {
		go func() {
			res, err := r.http.Post(r.url, "text/plain", strings.NewReader(strings.Repeat("x", i*1000)))
			if err != nil {
				answers <- err.Error()
				return
			}
			defer res.Body.Close()
			b, _ := io.ReadAll(res.Body)
			answers <- strings.Fields(string(b))[1]
		}()
	}
	sum := 0
	for range clients {
		var n int
		if _, err := fmt.Sscan(<-answers, &n); err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	if want := 1000 * clients * (clients - 1) / 2; sum != want {
		t.Errorf("%d bytes arrived, want %d", sum, want)
	}
}

// An upgrade has no form in HTTP/2 that a server must offer.
func TestUpgradeToUpstreamWithoutHTTP1IsAnswered(t *testing.T) {
	t.Parallel()
	origins := newOrigins(t)
	u := origins.startH2Only(t, "api.test", digest)
	r := rigTo(t, origins, u.authority, "h1")
	for range 2 { // the second time the protocol is known
		req := r.request("GET", "", nil)
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "websocket")
		res := r.do(req)
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusBadGateway || !strings.Contains(string(body), "upstream-") {
			t.Errorf("%s %s, %v", res.Status, body, err)
		}
	}
}

// countDials counts the connections that a client makes to the proxy.
func countDials(c *http.Client) *atomic.Int64 {
	n := new(atomic.Int64)
	c.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		n.Add(1)
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	return n
}
