package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// dead bounds how long a peer that has vanished is waited for. Linux by itself
// takes 15 minutes over what it has sent to one, and two hours over an idle
// connection.
const dead = 150 * time.Second

// vanish makes c deaf and dumb: its end of the connection answers nothing any
// more, and the other end is not told. All that comes is dropped by a filter
// in the kernel, so neither an acknowledgement nor a reset goes back.
func vanish(t testing.TB, c net.Conn) {
	t.Helper()
	if tc, ok := c.(*tls.Conn); ok {
		c = tc.NetConn()
	}
	raw, err := c.(syscall.Conn).SyscallConn()
	must(t, err)
	drop := [1]unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}
	must(t, raw.Control(func(fd uintptr) {
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &drop[0]})
	}))
	must(t, err)
}

// rare is a server whose connections a test can have vanish.
type rare struct {
	url      string
	mu       sync.Mutex
	conns    []net.Conn
	gone     chan string // the path of each request whose client has left
	arrived  chan string // the path of each request
	released chan struct{}
}

// newRare starts one for a name below .test.
func newRare(t *testing.T, proto string) *rare {
	t.Helper()
	r := &rare{gone: make(chan string, 10), arrived: make(chan string, 10), released: make(chan struct{})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	r.url = "https://" + net.JoinHostPort("rare.example.test", port(l.Addr()))
	s := &http.Server{
		Handler: http.HandlerFunc(r.serve), Protocols: new(http.Protocols), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{origins().issue(t, "rare.example.test")}},
	}
	s.Protocols.SetHTTP1(proto == "h1")
	s.Protocols.SetHTTP2(proto == "h2")
	done := make(chan error, 1)
	go func() { done <- s.ServeTLS(&rareListener{l, r}, "", "") }()
	t.Cleanup(func() { close(r.released); s.Close(); <-done })
	return r
}

// rareListener remembers what it accepts.
type rareListener struct {
	net.Listener
	r *rare
}

func (l *rareListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.r.mu.Lock()
		defer l.r.mu.Unlock()
		l.r.conns = append(l.r.conns, c)
	}
	return c, err
}

// vanish has all its connections vanish.
func (r *rare) vanish(t testing.TB) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		vanish(t, c)
	}
	r.conns = nil
}

// serve streams an event and waits, but for /talk, where events go on, and
// /short, where there are none.
func (r *rare) serve(w http.ResponseWriter, req *http.Request) {
	r.arrived <- req.URL.Path
	if req.URL.Path == "/short" {
		return
	}
	defer func() { r.gone <- req.URL.Path }()
	w.Header().Set("Content-Type", "text/event-stream")
	talk := time.NewTicker(20 * time.Millisecond)
	defer talk.Stop()
	for {
		fmt.Fprint(w, "data: event\n\n")
		http.NewResponseController(w).Flush()
		select {
		case <-req.Context().Done():
			return
		case <-r.released:
			return
		case <-talk.C:
		}
		if req.URL.Path != "/talk" {
			select {
			case <-req.Context().Done():
			case <-r.released:
			}
			return
		}
	}
}

// halfOpen is a testbed before a server whose connections vanish, and clients
// whose own do.
type halfOpen struct {
	t *testing.T
	b *testbed
	r *rare
}

func newHalfOpen(t *testing.T, proto string) *halfOpen {
	r := newRare(t, proto)
	return &halfOpen{t, newTestbed(t, settings{tables: fileAudiences + rule(r.url+"/"), files: tokenFiles}), r}
}

// client returns a client, and what has its connections vanish.
func (h *halfOpen) client(proto string) (c *http.Client, leave func()) {
	var mu sync.Mutex
	var conns []net.Conn
	c = clientOf(h.t, &url.URL{Scheme: "http", Host: h.b.addr}, h.b.root, proto)
	c.Timeout = 0
	c.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			conns = append(conns, conn)
		}
		return conn, err
	}
	return c, func() {
		mu.Lock()
		defer mu.Unlock()
		for _, conn := range conns {
			vanish(h.t, conn)
		}
	}
}

// begin opens a stream and returns it once it has begun.
func (h *halfOpen) begin(c *http.Client, path string) (io.ReadCloser, error) {
	res, err := c.Get(h.r.url + path)
	if err != nil {
		return nil, err
	}
	_, err = bufio.NewReader(res.Body).ReadString('\n')
	return res.Body, err
}

// clientVanishes wants the server to learn that the client of a stream has.
func (h *halfOpen) clientVanishes(proto, path string) error {
	c, leave := h.client(proto)
	body, err := h.begin(c, path)
	if err != nil {
		return err
	}
	defer body.Close()
	leave()
	return comes(h.r.gone, path)
}

// serverVanishes wants the client of a stream to learn that its server has.
func (h *halfOpen) serverVanishes(proto, path string) error {
	c, _ := h.client(proto)
	body, err := h.begin(c, path)
	if err != nil {
		return err
	}
	defer body.Close()
	h.r.vanish(h.t)
	ended := make(chan string, 1)
	go func() {
		if _, err := io.Copy(io.Discard, body); err != nil {
			ended <- "broken"
		} else {
			ended <- "a clean end"
		}
	}()
	return comes(ended, "broken")
}

// keptConnectionVanishes wants a request to be answered for which there was a
// connection, though not that its answer is a good one.
func (h *halfOpen) keptConnectionVanishes(proto string) error {
	c, _ := h.client(proto)
	res, err := c.Get(h.r.url + "/short")
	if err != nil {
		return err
	}
	res.Body.Close()
	h.r.vanish(h.t)
	answered := make(chan string, 1)
	go func() {
		res, err := c.Get(h.r.url + "/short")
		if err == nil {
			res.Body.Close()
			err = fmt.Errorf("answered")
		}
		answered <- err.Error()
	}()
	return comes(answered, "answered")
}

func comes(ch <-chan string, want string) error {
	select {
	case got := <-ch:
		if got != want {
			return fmt.Errorf("%s, want %s", got, want)
		}
		return nil
	case <-time.After(dead):
		return fmt.Errorf("nothing in %v", dead)
	}
}

// A peer that has vanished, as when a machine sleeps or its network is gone, is
// found dead on either leg: by keep-alive probes over HTTP/1.1, by PING over
// HTTP/2, and where something is under way by the end of all tries to deliver it.
func TestPeerThatVanishesIsFoundDead(t *testing.T) {
	thorough(t) // it waits for most of a minute
	t.Parallel()
	var all sync.WaitGroup
	for _, tt := range []struct {
		name, proto string
		underWay    bool // something is, to who has vanished
		f           func(h *halfOpen, proto string) error
	}{
		{"client of an idle stream", "h1", false, func(h *halfOpen, p string) error { return h.clientVanishes(p, "/idle") }},
		{"client of an idle stream", "h2", false, func(h *halfOpen, p string) error { return h.clientVanishes(p, "/idle") }},
		{"client of a busy stream", "h1", true, func(h *halfOpen, p string) error { return h.clientVanishes(p, "/talk") }},
		{"client of a busy stream", "h2", true, func(h *halfOpen, p string) error { return h.clientVanishes(p, "/talk") }},
		{"server of an idle stream", "h1", false, func(h *halfOpen, p string) error { return h.serverVanishes(p, "/idle") }},
		{"server of an idle stream", "h2", false, func(h *halfOpen, p string) error { return h.serverVanishes(p, "/idle") }},
		{"server that was idle", "h1", true, (*halfOpen).keptConnectionVanishes},
		{"server that was idle", "h2", true, (*halfOpen).keptConnectionVanishes},
	} {
		if tt.proto == "h1" && tt.underWay && !retransmissionCanBeBounded(t) {
			t.Logf("%s, %s: not bounded by this kernel", tt.name, tt.proto)
			continue
		}
		h := newHalfOpen(t, tt.proto)
		all.Go(func() {
			began := time.Now()
			if err := tt.f(h, tt.proto); err != nil {
				t.Errorf("%s, %s: %v", tt.name, tt.proto, err)
			}
			t.Logf("%s, %s: after %v", tt.name, tt.proto, time.Since(began).Round(time.Second))
		})
	}
	all.Wait()
}

// retransmissionCanBeBounded reports whether the kernel can (Linux 6.15): where it
// cannot, an HTTP/1 peer to which something is under way is found dead when TCP gives up.
func retransmissionCanBeBounded(t *testing.T) bool {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(fd)
	return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_RTO_MAX_MS, 4000) == nil
}
