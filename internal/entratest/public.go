package entratest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// publicHost is the authority of the public cloud. What asks it asks the
// others, too: Azure Resource Manager is one of them.
const publicHost = "login.microsoftonline.com"

// publicGraph is Microsoft Graph of the public cloud.
const publicGraph = "graph.microsoft.com"

func publicNames() []string { return []string{publicHost, "management.azure.com", publicGraph} }

// ProxyURL returns, with Options.Public, the HTTP proxy through which the
// public cloud's hosts are this authority and no other host is reached, and
// otherwise "". It is what goes into HTTPS_PROXY or upstream_proxy.
func (a *Authority) ProxyURL() string {
	if a.way == nil {
		return ""
	}
	return "http://" + a.way.Addr().String()
}

// way is a proxy that leads to one address. Its tunnels end with the
// connections at that address.
type way struct {
	net.Listener
	to      string
	mu      sync.Mutex // held to begin a tunnel, and not to end any
	closed  bool
	tunnels sync.WaitGroup
}

// openWay opens the proxy and has the authority's own client use it.
func (a *Authority) openWay(ctx context.Context, to net.Addr) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("proxy to the simulated authority: %w", err)
	}
	a.way = &way{Listener: l, to: to.String()}
	proxy := &url.URL{Scheme: "http", Host: l.Addr().String()}
	a.client.Transport.(*http.Transport).Proxy = http.ProxyURL(proxy)
	a.serve(ctx, a.way, func(s *http.Server) error { return s.Serve(l) }, nil)
	return nil
}

// close waits until no tunnel is left: whatever it leads to has to be closed.
func (w *way) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.tunnels.Wait()
}

// ServeHTTP is CONNECT (RFC 9110 section 9.3.6) and nothing else.
func (w *way) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	host, port, err := net.SplitHostPort(r.Host)
	if r.Method != http.MethodConnect || err != nil || port != "443" || !slices.Contains(publicNames(), host) {
		http.Error(rw, "only the public cloud is simulated", http.StatusForbidden)
		return
	}
	up, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(r.Context(), "tcp", w.to)
	if err != nil {
		http.Error(rw, "the simulated authority is gone", http.StatusBadGateway)
		return
	}
	down, _, err := http.NewResponseController(rw).Hijack()
	if err != nil {
		_ = up.Close() // nothing has passed yet
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		_ = errors.Join(up.Close(), down.Close()) // nothing has passed yet
		return
	}
	w.tunnels.Go(func() { tunnel(down, up) })
}

// tunnel copies until either end is gone.
func tunnel(down, up net.Conn) {
	// Whatever ends one direction ends the other; neither is told why.
	hangUp := func() { _ = errors.Join(up.Close(), down.Close()) }
	var copying sync.WaitGroup
	copying.Go(func() {
		defer hangUp()
		_, _ = io.Copy(up, down)
	})
	defer copying.Wait()
	defer hangUp()
	if _, err := io.WriteString(down, "HTTP/1.1 200 OK\r\n\r\n"); err == nil {
		_, _ = io.Copy(down, up)
	}
}
