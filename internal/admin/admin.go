// Package admin answers on the admin port: whether the proxy lives and serves
// (/healthz, /readyz), and what it is doing (/status.json), for those who may use
// the proxy.
//
// It refuses every method but GET, and requests under any name but a loopback
// one: a web page that had its own name resolve to this machine is shown
// nothing. It never shows a secret, as it is given none.
package admin

import (
	"context"
	"encoding/json"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// Options are what a [Server] shows, and to whom. All but ErrorLog are
// required unless they say otherwise, and called concurrently.
type Options struct {
	// Admit is called for each connection. What it returns judges each of its
	// requests for /status.json by the values of the Authorization fields; an
	// error says why not, in words that may be shown.
	Admit func(net.Conn) func(authorization []string) error

	// Prove answers the challenge of a client that has to show a credential and
	// wants to know first to whom. It may be nil.
	Prove func(challenge string) string

	Ready  func() bool // whether new requests are served
	Status func() any  // what /status.json shows, as JSON

	ErrorLog *log.Logger
}

// Server answers on the admin port. Its methods may be called concurrently.
type Server struct {
	o     Options
	http  *http.Server
	hosts map[string]bool
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
	s := &Server{o: o, hosts: hosts(addr)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", s.ready)
	mux.HandleFunc("GET /status.json", s.status)
	s.http = &http.Server{
		Handler: s.screened(mux), ErrorLog: o.ErrorLog, MaxHeaderBytes: 16 << 10,
		ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, admitKey{}, o.Admit(c))
		},
	}
	return s
}

// Serve answers on l until [Server.Close], then returns
// [http.ErrServerClosed]. It owns l.
func (s *Server) Serve(l net.Listener) error { return s.http.Serve(l) }

// Close ends the server at once.
func (s *Server) Close() error { return s.http.Close() }

// hosts returns the values of Host under which a listener is asked for by
// those who mean it: loopback names, and its address if it is one.
func hosts(addr net.Addr) map[string]bool {
	set := map[string]bool{}
	listener, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return set
	}
	_, port, _ := net.SplitHostPort(addr.String())
	for _, host := range []string{"127.0.0.1", "localhost", "::1", listener.Addr().Unmap().String()} {
		set[net.JoinHostPort(host, port)] = true
		if port == "80" {
			set[host] = true
		}
	}
	return set
}

// screened lets through what a person or a program of this machine asks for.
func (s *Server) screened(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		site := r.Header.Get("Sec-Fetch-Site")
		switch {
		case !s.hosts[strings.ToLower(r.Host)]:
			say(w, http.StatusForbidden, "this port is asked for as 127.0.0.1 or localhost only")
		case site == "cross-site" || site == "same-site":
			say(w, http.StatusForbidden, "web pages may not ask this port")
		case r.Method != http.MethodGet:
			h.Set("Allow", http.MethodGet)
			say(w, http.StatusMethodNotAllowed, "GET only")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	if !s.o.Ready() {
		say(w, http.StatusServiceUnavailable, "draining")
		return
	}
	say(w, http.StatusOK, "ready")
}

func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	admit := r.Context().Value(admitKey{}).(func([]string) error)
	if err := admit(r.Header["Authorization"]); err != nil {
		if c := r.Header.Get(ChallengeField); s.o.Prove != nil && len(c) >= minChallenge && len(c) <= maxChallenge {
			w.Header().Set(ProofField, s.o.Prove(c))
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="injectproxy", charset="UTF-8"`)
		say(w, http.StatusUnauthorized, "not admitted: "+err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(s.o.Status()) // who has left needs no answer
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	w.Write([]byte(text + "\n"))
}
