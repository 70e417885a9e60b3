package config

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/injectproxy/injectproxy/internal/match"
)

// routes reads [[route]], at least one.
func (g *Gate) routes(top *table) {
	tables := top.each("route")
	if len(tables) == 0 && !top.has("route") {
		top.errorf(top.at(), "there is no [[route]]: nothing would be served").hint(`[[route]] with path = "/mcp" and upstream = ["http://127.0.0.1:9000"]`)
	}
	for _, t := range tables {
		g.Routes = append(g.Routes, g.route(t))
	}
	for i, r := range g.Routes {
		for _, earlier := range g.Routes[:i] {
			if r.Path == "" || !strings.EqualFold(r.Path, earlier.Path) {
				continue
			}
			if r.Path == earlier.Path {
				top.errorf(r.Pos, "path %s is taken by the route at %s", r.Path, earlier.Pos)
			} else { // the gate does not guess which of them a server would take a path for
				top.errorf(r.Pos, "path %s is that of the route at %s but for its case", r.Path, earlier.Pos).hint("another path; clients may have one that upstream does not")
			}
			break
		}
	}
}

func (g *Gate) route(t *table) GateRoute {
	r, before := GateRoute{Pos: t.at()}, len(t.problems)
	r.Path = g.path(t, "path")
	r.Upstreams = g.upstreams(t, "upstream")
	r.Protocol = t.enum("upstream_http", "auto", "1.1", "2", "h2c")
	r.speaks(t)
	r.Host = t.upstreamHost("upstream_host")
	r.Mode = t.enum("mode", "strict", "optional", "permissive")
	r.Timeout = t.duration("timeout", 0)
	r.Scopes = g.Entra.scopes(t, "scopes")
	r.Roles = t.roles("roles")
	r.Origins = t.origins("origins")
	r.Allow = t.enum("default", "deny", "allow") == "allow"
	r.Tools = g.Entra.grants(t, "tools")
	r.Resources = g.Entra.grants(t, "resources")
	r.Prompts = g.Entra.grants(t, "prompts")
	r.OnBehalfOf = g.onBehalfOf(t.titled("on_behalf_of", "[route.on_behalf_of]"))
	r.Identity = t.titled("identity_headers", "[route.identity_headers]").identities()
	t.done()
	if t.firstError(before) == nil { // or what is missing may be what could not be read
		r.warn(t)
		r.warnOnBehalfOf(t)
	}
	return r
}

// path reads what a route covers. It is "" if it is no path.
func (g *Gate) path(t *table, key string) string {
	s := t.str(key, "")
	at := t.at(key)
	if !t.has(key) {
		t.errorf(at, "[[route]] has no path").hint(`such as path = "/mcp", which covers what is below it`)
	}
	if !t.isString(key) {
		return ""
	}
	switch problem, hint := badPath(s); {
	case problem != "":
		t.errorf(at, "path %s %s", show(s), problem).Hint = hint
		return ""
	case g.own(s):
		t.errorf(at, "path %s is the gate's own", s).hint("the gate answers there itself; choose another path for clients: upstream may have one of its own")
		return ""
	}
	return s
}

// badPath says what keeps s from being the path of a route, and what to do.
func badPath(s string) (problem, hint string) {
	const plain = "letters, digits, and - . _ ~ ! $ & ' ( ) + , = : @ between slashes"
	switch {
	case !strings.HasPrefix(s, "/"):
		return "does not begin with a slash", "the path alone, without scheme and host"
	case strings.Contains(s, "*"):
		return "has a *", "a path covers what is below it: no pattern is needed"
	case !only(s, func(c byte) bool { return isAlnum(c) || strings.IndexByte("/-._~!$&'()+,=:@", c) >= 0 }):
		return "has what servers read in more ways than one", plain
	case strings.Contains(s, "//"), slices.ContainsFunc(strings.Split(s, "/"), func(segment string) bool { return segment == "." || segment == ".." }):
		return "is not clean", "no empty segment, no . and no .."
	case s != "/" && strings.HasSuffix(s, "/"):
		return "ends in a slash", "write " + strconv.Quote(strings.TrimRight(s, "/")) + ", which covers what is below it"
	}
	return "", ""
}

// own reports whether the gate answers at path itself.
func (g *Gate) own(path string) bool {
	first, _, _ := strings.Cut(path[1:], "/")
	switch first {
	case ".well-known":
		return true
	case "healthz", "readyz":
		return path == "/"+first
	case "authorize", "token", "register":
		return g.Entra.Shim && path == "/"+first
	}
	return false
}

// upstreams reads the servers of a route.
func (g *Gate) upstreams(t *table, key string) []*url.URL {
	if _, ok := t.keys[key].(string); ok {
		t.known = append(t.known, key)
		t.errorf(t.at(key), "%s must be an array of strings, not a string", key).hint("put it in brackets: several servers may stand there")
		return nil
	}
	if !t.has(key) {
		t.errorf(t.at(), "[[route]] has no upstream").hint(`such as upstream = ["http://127.0.0.1:9000"]`)
	}
	var list []*url.URL
	for i, s := range t.filled(key) {
		if u := g.upstream(t, s, t.elementAt(key, i)); u != nil {
			if slices.ContainsFunc(list, func(o *url.URL) bool { return *o == *u }) {
				t.errorf(t.elementAt(key, i), "upstream: %s stands there twice", u)
			}
			list = append(list, u)
		}
	}
	return list
}

// upstream reads one server. What stands there is not shown unless it is an
// address and a path: the rest may hold a password.
func (g *Gate) upstream(t *table, s string, at Position) *url.URL {
	u, problem := parseUpstream(s)
	switch {
	case problem != "":
		t.errorf(at, "upstream %s", problem).hint(`an http or https URL such as "http://127.0.0.1:9000"; with a path, that takes the place of the route's`)
		return nil
	case reaches(u, g.Listen):
		t.errorf(at, "upstream %s is the gate's own port: it would ask itself", u).hint("another port for the server, or for listen")
	case g.PublicURL != nil && u.Scheme == g.PublicURL.Scheme && u.Host == g.PublicURL.Host:
		t.errorf(at, "upstream %s is the gate's own public_url: it would ask itself", u).hint("the server's address behind the gate")
	case u.Scheme == "http" && !isLoopback(u.Hostname()) && t.has("on_behalf_of"):
		t.warnf(at, "upstream %s: the users' tokens of [route.on_behalf_of] travel in the clear to another machine: whoever reads them there acts as these users", u).
			hint("https, with upstream_ca for a CA of your own; or a network that encrypts, such as a service mesh")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		t.warnf(at, "upstream %s: what callers and the server say travels in the clear to another machine (the token does not: it stays here)", u).
			hint("https, with upstream_ca for a CA of your own; or a network that nobody else reads")
	}
	return u
}

func parseUpstream(s string) (u *url.URL, problem string) {
	u, err := url.Parse(s)
	switch {
	case err != nil || !strings.Contains(s, "://"):
		return nil, "is not a URL"
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, "must be an http or https URL"
	case u.User != nil:
		return nil, "has userinfo"
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(s, "#"):
		return nil, "has a query or a fragment"
	}
	authority, err := match.Authority(u.Host)
	if err != nil {
		return nil, strings.TrimPrefix(err.Error(), "authority ")
	}
	if problem, _ := badPath(u.EscapedPath()); u.Path != "" && u.Path != "/" && strings.TrimRight(u.Path, "/") != "" {
		if problem, _ = badPath(strings.TrimSuffix(u.EscapedPath(), "/")); problem != "" {
			return nil, "has a path that " + problem
		}
	} else if problem != "" && u.Path != "" {
		return nil, "has a path that " + problem
	}
	u.Host = withoutDefault(u.Scheme, u.Host, authority)
	return u, ""
}

// speaks reports a version of HTTP that an upstream's scheme rules out.
func (r *GateRoute) speaks(t *table) {
	for i, u := range r.Upstreams {
		switch {
		case r.Protocol == "h2c" && u.Scheme == "https":
			t.errorf(t.at("upstream_http"), `upstream_http is "h2c", which is HTTP/2 without TLS, and upstream number %d is https`, i+1).hint(`"2" or "auto"`)
			return
		case r.Protocol == "2" && u.Scheme == "http":
			t.errorf(t.at("upstream_http"), `upstream_http is "2", which is agreed on by TLS, and upstream number %d is http`, i+1).hint(`"h2c" for HTTP/2 without TLS`)
			return
		}
	}
}

// warn says what a route lets nobody do, or everybody.
func (r *GateRoute) warn(t *table) {
	grants := slices.Concat(r.Tools, r.Resources, r.Prompts)
	open := slices.ContainsFunc(grants, func(g GateGrant) bool { return len(g.Scopes) == 0 && len(g.Roles) == 0 })
	if r.Mode == "strict" && len(r.Scopes) == 0 && len(r.Roles) == 0 {
		t.warnf(r.Pos, "route %s has neither scopes nor roles: every token of the tenants that is for this application and has any scope or role is let in", r.Path).
			hint(`scopes = ["access_as_user"] for users, roles = ["…"] for applications`)
	}
	if !r.Allow && len(grants) == 0 {
		t.warnf(r.Pos, "route %s: nobody may call any tool", r.Path).hint(`name them in [route.tools], or default = "allow"`)
	} else if r.Mode != "strict" && !r.Allow && !open {
		t.warnf(r.Pos, "route %s: mode = %q lets anonymous callers in, and nothing is open to them", r.Path, r.Mode).
			hint(`"NAME" = {} in [route.tools] asks for nothing; or mode = "strict"`)
	}
}
