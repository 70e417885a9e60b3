package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
)

// demoServer is a server that remembers what reached it. Under its
// protected paths it admits bearer tokens for its audience only.
type demoServer struct {
	authority string // host:port
	audience  string

	mu     sync.Mutex
	seen   []demoRequest
	anyone bool // admits requests without a token: only a test sets it
}

// demoRequest is what a server saw of a request.
type demoRequest struct {
	path, bearer string
	status       int
}

// startServer starts a server for host, with TLS where that is a name. The address
// of this machine is for a server beside the gate, which has the TLS.
func (w *demoWorld) startServer(host, audience string, serve func(*demoServer, http.ResponseWriter, *http.Request)) (*demoServer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	s := &demoServer{authority: net.JoinHostPort(host, port), audience: audience}
	server := &http.Server{
		Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if s.admit(w, rw, r) {
				serve(s, rw, r)
			}
		}),
		TLSConfig: &tls.Config{
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return w.origin.Leaf(host) },
			MinVersion:     tls.VersionTLS12,
		},
		ReadHeaderTimeout: demoLimit,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	run := func() { server.ServeTLS(l, "", "") }
	if net.ParseIP(host) != nil {
		run = func() { server.Serve(l) }
	}
	done := make(chan struct{})
	go func() { run(); close(done) }()
	w.onClose(func() { server.Close(); <-done })
	return s, nil
}

// protected reports whether a path needs a token.
func (s *demoServer) protected(path string) bool {
	return path == "/mcp" || strings.HasPrefix(path, "/v1/") || strings.HasPrefix(path, "/shared/")
}

// admit notes the request, and answers it itself if it lacks a valid token.
func (s *demoServer) admit(w *demoWorld, rw http.ResponseWriter, r *http.Request) bool {
	bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	status := http.StatusOK
	if s.protected(r.URL.Path) && !s.anyone {
		if _, err := w.entra.Validate(bearer, s.audience); err != nil {
			status = http.StatusUnauthorized
		}
	}
	s.mu.Lock()
	s.seen = append(s.seen, demoRequest{path: r.URL.Path, bearer: bearer, status: status})
	s.mu.Unlock()
	if status == http.StatusOK {
		return true
	}
	rw.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	http.Error(rw, "a valid token is needed", status)
	return false
}

// since returns what was seen after the first n requests.
func (s *demoServer) since(n int) []demoRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]demoRequest(nil), s.seen[n:]...)
}

// count returns how many requests have been seen.
func (s *demoServer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seen)
}

// serveMCP is an MCP server at one path.
func (w *demoWorld) serveMCP(s *demoServer, rw http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/mcp" {
		fmt.Fprintln(rw, "not the MCP server")
		return
	}
	w.sessions.serve(rw, r, w.caller(r, s.audience))
}

// caller is the application that a request's token was issued to.
func (w *demoWorld) caller(r *http.Request, audience string) string {
	claims, err := w.entra.Validate(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), audience)
	if err != nil {
		return "unknown"
	}
	return fmt.Sprint(claims["azp"])
}

// demoWords are what the model says, one event each.
var demoWords = []string{"Tokens", " reach", " only", " their", " prefix."}

// serveLLM streams a chat completion. It sends each event only when the one
// before has arrived, so that nothing can be held back unseen.
func (w *demoWorld) serveLLM(_ *demoServer, rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("Content-Type", "text/event-stream")
	for _, word := range demoWords {
		fmt.Fprintf(rw, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":%q}}]}\n\n", word)
		http.NewResponseController(rw).Flush()
		select {
		case <-w.events:
		case <-r.Context().Done():
			return
		}
	}
	io.WriteString(rw, "data: [DONE]\n\n")
}

func serveShare(_ *demoServer, rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(rw, "{\"document\":%q}\n", r.URL.Path)
}

func serveSite(_ *demoServer, rw http.ResponseWriter, _ *http.Request) {
	fmt.Fprintln(rw, "news of the day")
}
