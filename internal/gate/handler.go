package gate

import (
	"errors"
	"net/http"
	"strings"
	"time"
)

// Gate is the handler of a gate. Make one with New. It may be used concurrently.
type Gate struct {
	o        Options
	routes   []*route // the longest path first
	sessions *sessions
}

// route is a Route in use.
type route struct {
	Route
	upstreams []*upstream
}

// New returns a Gate.
func New(o Options) (*Gate, error) {
	switch {
	case o.PublicURL == nil || len(o.Routes) == 0 || o.Verify == nil || o.Log == nil:
		return nil, errors.New("gate: options are missing")
	case o.BodyLimit == 0:
		o.BodyLimit = 8 << 20
	}
	g := &Gate{o: o, sessions: newSessions()}
	for _, r := range o.Routes {
		g.routes = append(g.routes, &route{Route: r, upstreams: g.upstreams(r)})
	}
	return g, nil
}

// ServeHTTP implements http.Handler.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{w: w, r: r, seen: &Request{Start: time.Now(), Method: r.Method, Path: r.URL.Path}}
	if !g.public(x) {
		g.enter(x)
	}
}

// choose finds the route of the request.
func (g *Gate) choose(x *exchange) bool {
	for _, r := range g.routes {
		path := strings.TrimSuffix(r.Path, "/")
		if x.r.URL.Path == path || strings.HasPrefix(x.r.URL.Path, path+"/") {
			x.route, x.seen.Route = r, r.Path
			return true
		}
	}
	x.refuse(answer{status: http.StatusNotFound, kind: "no-route", title: "Nothing is served here"})
	return false
}
