// Package admin answers on the admin port: whether the proxy lives and serves
// (/healthz, /readyz), what it measures (/metrics), and what it is doing, for
// those who may use the proxy: as a page that stays up to date by itself (/,
// /events) and as JSON (/status.json).
//
// It refuses every method but GET, and requests under any name but a loopback
// one: a web page that had its own name resolve to this machine is shown
// nothing. It never shows a secret, as it is given none.
package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Options are what a [Server] shows, and to whom. Admit, Ready and Status are
// required. All functions are called concurrently.
type Options struct {
	// Admit is called for each connection. What it returns judges each of its
	// requests for what is not open to all, by the values of the Authorization
	// fields; an error says why not, in words that may be shown.
	Admit func(net.Conn) func(authorization []string) error

	// Prove answers the challenge of a client that has to show a credential and
	// wants to know first to whom. It may be nil.
	Prove func(challenge string) string

	Ready   func() bool // whether new requests are served
	Unready string      // what /readyz says if they are not; "": draining
	Status  func() any  // what /status.json shows, as JSON
	Pulse   func() any  // the part of it that those who watch are sent each second; nil sends none
	Plots   func() any  // the part of it that they are sent each five seconds; nil sends none
	Feed    *Feed       // what they are sent as it happens; nil sends nothing

	Metrics     http.Handler // nil: there are none
	MetricsFile string       // of the token that /metrics wants where the network reaches it, read each time; "": nobody has it

	Now      func() time.Time // the clock of tickets and cookies; nil: time.Now
	Log      *slog.Logger     // nil discards
	ErrorLog *log.Logger
}

// Server answers on the admin port. Its methods may be called concurrently.
type Server struct {
	o        Options
	http     *http.Server
	hosts    map[string]bool
	loopback bool // nobody else reaches the port
	passes   *passes
	metrics  metricsToken
	shown    [shows]memo

	mu       sync.Mutex // guards closed, and watching against a late Add
	closed   bool
	watching sync.WaitGroup
}

// The fields by which a server shows that it is the one meant.
const (
	ChallengeField = "Injectproxy-Challenge"
	ProofField     = "Injectproxy-Proof"

	minChallenge = 16
	maxChallenge = 128
)

type admitKey struct{}

// New returns a Server for a listener of the given address.
func New(addr net.Addr, o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Server{o: o, hosts: hosts(addr), loopback: isLoopback(addr), passes: newPasses(addr, o.Now)}
	s.metrics = metricsToken{file: o.MetricsFile, log: o.Log}
	s.http = &http.Server{
		Handler: s.screened(s.routes()), ErrorLog: o.ErrorLog, MaxHeaderBytes: 16 << 10,
		ReadTimeout: 10 * time.Second, WriteTimeout: writeLimit, IdleTimeout: time.Minute,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, admitKey{}, o.Admit(c))
		},
	}
	return s
}

func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", s.ready)
	if s.o.Metrics != nil {
		mux.HandleFunc("GET /metrics", s.measures)
	}
	for path, file := range pageFiles {
		mux.HandleFunc("GET "+path, s.guarded(file.serve))
	}
	mux.HandleFunc("GET /events", s.guarded(s.events))
	mux.HandleFunc("GET /status.json", s.guarded(s.status))
	mux.HandleFunc("GET /open", s.open)
	mux.HandleFunc("GET /opened", s.opened)
	mux.HandleFunc("GET /enter", s.enter)
	return mux
}

// Serve answers on l until [Server.Close], then returns
// [http.ErrServerClosed]. It owns l.
func (s *Server) Serve(l net.Listener) error { return s.http.Serve(l) }

// Close ends the server at once, and waits for those who watch to be gone.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	err := s.http.Close() // which ends the context of each request
	s.watching.Wait()
	return err
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	if !s.o.Ready() {
		say(w, http.StatusServiceUnavailable, cmp.Or(s.o.Unready, "draining"))
		return
	}
	say(w, http.StatusOK, "ready")
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(s.o.Status()) // who has left needs no answer
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	w.Write([]byte(text + "\n"))
}
