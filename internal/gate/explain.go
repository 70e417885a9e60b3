package gate

import (
	"net/http"
	"net/url"
)

// Explain answers r as ServeHTTP does, but for what would go upstream: of that,
// nothing is sent, nothing is written to w, and Allowed is true. It also returns
// for which URLs of its route's upstreams the request is, whether they get it or
// not. It is for saying what would happen, by a Gate that serves nothing.
func (g *Gate) Explain(w http.ResponseWriter, r *http.Request) (seen *Request, upstreams []*url.URL) {
	own := *r
	x := &exchange{r: &own, seen: &Request{Method: r.Method, Path: r.URL.Path}}
	out := &response{ResponseWriter: w, x: x}
	x.w, x.body = out, newBody(out, &own)
	if !g.health(x) && g.hosted(x) && !g.public(x) {
		x.seen.Allowed = g.passes(x)
	}
	x.body.settle()
	if x.route != nil {
		for _, u := range x.route.upstreams {
			upstreams = append(upstreams, u.target(x.route, r.URL))
		}
	}
	return x.seen, upstreams
}
