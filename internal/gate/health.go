package gate

import (
	"io"
	"net/http"
)

// ready reports whether the gate takes requests that it can serve.
func (g *Gate) ready() bool {
	return !g.Retired() && (g.o.Ready == nil || g.o.Ready())
}

// health answers whether the gate is alive, and whether it can serve: not before
// it can verify tokens. It is for load balancers, which have no token and may
// ask by address, and tells strangers nothing else.
func (g *Gate) health(x *exchange) bool {
	ok := true
	switch x.r.URL.Path {
	case "/healthz":
	case "/readyz":
		ok = g.ready()
	default:
		return false
	}
	if x.r.Method != http.MethodGet && x.r.Method != http.MethodHead {
		x.refuseMethod("GET, HEAD")
		return true
	}
	h := x.w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	if !ok {
		h.Set("Retry-After", "1")
		x.w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(x.w, "not ready\n") // it may have gone
		return true
	}
	_, _ = io.WriteString(x.w, "ok\n")
	return true
}
