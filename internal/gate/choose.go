package gate

import (
	"net/http"
	"slices"
	"strings"
	"sync"
)

// route is a Route in use.
type route struct {
	Route
	upstreams []*upstream
	turn      turn
	signIn    sync.Once // its server's own was told of
	told      seldom    // of what goes wrong with the exchange of tokens
	spurned   spurned   // whose tokens its server refuses
}

// plain reports whether nothing is decided on the route but who may use it. It
// takes every method and WebSocket, and what goes through it is not read.
func (r *route) plain() bool {
	return r.Allow && len(r.Tools)+len(r.Resources)+len(r.Prompts) == 0
}

// sortRoutes puts the longest path first.
func sortRoutes(routes []*route) {
	slices.SortStableFunc(routes, func(a, b *route) int { return len(b.path()) - len(a.path()) })
}

// path is the route's path without a slash at its end, "" for the root.
func (r *route) path() string { return strings.TrimSuffix(r.Path, "/") }

// covers reports whether the route covers path, by whole segments.
func (r *route) covers(path string) bool { return covers(r.path(), path) }

func covers(prefix, path string) bool {
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || rest[0] == '/')
}

// choose finds the route of the request, and whether it takes its method.
func (g *Gate) choose(x *exchange) bool {
	path, deepest, ok := cleanPath(x.r)
	if !ok {
		x.refuse(answer{
			status: http.StatusBadRequest, kind: "unclear-path", denied: deniedPath,
			title: "The path can be read in more than one way",
			hint:  "Send one without dot segments, empty segments, backslashes, encoded slashes and repeated encoding",
		})
		return false
	}
	x.route = g.routeOf(path, deepest)
	if x.route == nil {
		x.refuse(answer{status: http.StatusNotFound, kind: "no-route", title: "Nothing is served here", denied: deniedPath})
		return false
	}
	x.seen.Route = x.route.Path
	if g.hasSession(x) {
		x.seen.Path = x.route.Path // the rest is as good as a password
	}
	g.begin(x)
	return g.originAllowed(x) && x.takesMethod()
}

// routeOf returns the route that covers path, nil if none does, or if a server
// that decodes more than once, or does not mind case, parameters or a dot at the
// end of a segment, could read it as another's.
func (g *Gate) routeOf(path, deepest string) *route {
	for _, r := range g.routes {
		if r.covers(path) {
			return r
		}
		if covers(lenient(r.path()), lenient(deepest)) {
			return nil
		}
	}
	return nil
}

// takesMethod refuses what the route does not take.
func (x *exchange) takesMethod() bool {
	switch x.r.Method {
	case http.MethodPost, http.MethodGet, http.MethodDelete:
		return true
	case http.MethodTrace, http.MethodConnect:
	default:
		if x.route.plain() {
			return true
		}
	}
	x.refuseMethod(allowedMethods)
	return false
}

// fits refuses what brings no message and is none of what MCP has GET and DELETE
// for, where messages are decided on: what else a server has there is nothing that
// anybody has decided on.
func (x *exchange) fits() bool {
	switch {
	case x.route.plain():
	case x.r.Method == http.MethodGet && !wantsEvents(x.r.Header):
		x.refuse(answer{
			status: http.StatusNotAcceptable, kind: "no-stream-wanted", denied: deniedMethod,
			title: "A GET is for an event stream here", hint: "Send Accept: text/event-stream, or a message by POST",
		})
		return false
	case x.r.Method == http.MethodDelete && x.r.Header.Get(headerSession) == "":
		x.refuse(answer{
			status: http.StatusBadRequest, kind: "no-session-named", denied: deniedMethod,
			title: "A DELETE ends a session here", hint: "Send the Mcp-Session-Id of the session that shall end",
		})
		return false
	}
	return true
}

func wantsEvents(h http.Header) bool {
	return strings.Contains(strings.ToLower(strings.Join(h["Accept"], ",")), "text/event-stream")
}
