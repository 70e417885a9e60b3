package admin

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// policy is what a browser is told about everything from this port: it loads
// nothing from elsewhere, is framed by nobody and runs no script but the page's.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

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

func isLoopback(addr net.Addr) bool {
	listener, err := netip.ParseAddrPort(addr.String())
	return err == nil && listener.Addr().Unmap().IsLoopback()
}

// meant reports whether r asks for this port by a name that no web page can
// have: one of [hosts], or the address that the connection came in on.
func (s *Server) meant(r *http.Request) bool {
	if s.hosts[strings.ToLower(r.Host)] {
		return true
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	came, err := netip.ParseAddrPort(local.String())
	asked, failed := netip.ParseAddrPort(r.Host)
	return err == nil && failed == nil && asked == netip.AddrPortFrom(came.Addr().Unmap(), came.Port())
}

// screened lets through what a person or a program of this machine asks for.
func (s *Server) screened(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", policy)
		switch {
		case !s.meant(r) && !s.named(r):
			say(w, http.StatusForbidden, "this port is asked for as 127.0.0.1 or localhost only")
		case ledFrom(r):
			say(w, http.StatusForbidden, "web pages may not ask this port, nor lead to it: type its address")
		case r.Method != http.MethodGet:
			h.Set("Allow", http.MethodGet)
			say(w, http.StatusMethodNotAllowed, "GET only")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// named reports whether r is for what may be asked for under any name where the
// network reaches the port, as scrapers and probes go by the name of a service:
// metrics want a token there that no web page has, and health tells nothing.
func (s *Server) named(r *http.Request) bool {
	switch r.URL.Path {
	case "/metrics", "/healthz", "/readyz":
		return !s.loopback
	}
	return false
}

// ledFrom reports whether a web page, or a file, has led the browser to r, or
// asks by itself. Only to the entrance may one lead, whole tabs and nothing in
// them: the ticket is what counts there, and injectproxy status --open comes by
// a file.
func ledFrom(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	if site != "cross-site" && site != "same-site" {
		return false
	}
	return r.URL.Path != "/enter" || r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.Header.Get("Sec-Fetch-Dest") != "document"
}
