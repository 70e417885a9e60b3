package main

import (
	"cmp"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
)

// switchboard is an upstream proxy that connects names to where they really
// are, so that a test can have any host and port.
type switchboard struct {
	addr  string
	lines map[string]string // authority to loopback address

	mu         sync.Mutex
	asked      []string // method and target of each request
	shown      []string // its Proxy-Authorization
	refuse     int      // status for all, 0 for none
	challenges []string // Proxy-Authenticate that goes with it
}

func newSwitchboard(t testing.TB, lines map[string]string) *switchboard {
	t.Helper()
	s := &switchboard{lines: lines}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s.addr = l.Addr().String()
	var calls sync.WaitGroup
	server := &http.Server{
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		Handler:  http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, &calls) }),
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() { server.Close(); <-done; calls.Wait() })
	return s
}

// url returns the URL of s with the given credentials.
func (s *switchboard) url(user *url.Userinfo) string {
	return (&url.URL{Scheme: "http", Host: s.addr, User: user}).String()
}

func (s *switchboard) serve(w http.ResponseWriter, r *http.Request, calls *sync.WaitGroup) {
	s.mu.Lock()
	s.asked = append(s.asked, r.Method+" "+r.RequestURI)
	s.shown = append(s.shown, r.Header.Get("Proxy-Authorization"))
	status, to := s.refuse, s.lines[r.RequestURI]
	w.Header()["Proxy-Authenticate"] = s.challenges
	s.mu.Unlock()
	if status == 0 && r.Method != http.MethodConnect {
		return // a plain request: 200 without a body
	}
	if status != 0 || to == "" {
		w.WriteHeader(cmp.Or(status, http.StatusBadGateway))
		return
	}
	_, p, _ := net.SplitHostPort(to)
	upstream, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", p))
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	w.WriteHeader(http.StatusOK)
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		upstream.Close()
		return
	}
	calls.Add(2)
	pump := func(dst, src net.Conn, from io.Reader) {
		defer calls.Done()
		io.Copy(dst, from)
		dst.Close()
		src.Close()
	}
	go pump(upstream, client, buffered)
	go pump(client, upstream, upstream)
}
