package gate

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// resourceMetadata is where clients look for the metadata of a protected
// resource: there with the resource's path behind it (RFC 9728, section 3.1).
const resourceMetadata = "/.well-known/oauth-protected-resource"

// resource is the metadata of a protected resource (RFC 9728, section 2).
type resource struct {
	Resource             string   `json:"resource"`
	AuthorizationServers []string `json:"authorization_servers"`
	Scopes               []string `json:"scopes_supported,omitempty"`
	BearerMethods        []string `json:"bearer_methods_supported"`
}

// public answers what is open to everybody on the hosts that are served: the
// metadata, and the shim. It is false for everything else.
func (g *Gate) public(x *exchange) bool {
	path := x.r.URL.EscapedPath()
	if suffix, ok := cutSegments(path, resourceMetadata); ok {
		g.describe(x, suffix)
		return true
	}
	return g.o.Shim != nil && g.shim(x, path)
}

// describe answers with the metadata of the resource at path.
//
// A client compares resource with the URL that it was given: the Go SDK wants
// the very same string, the TypeScript SDK one whose path contains its own. So
// each route has its own document, and the one at the root, where both look last, is
// about the whole origin: it is what is left to a client of a URL below a
// route's path. It names the scopes of all routes, as they are one API.
func (g *Gate) describe(x *exchange, path string) {
	if path == "" {
		x.publish(g.resource("", g.scopes()))
		return
	}
	for _, r := range g.routes {
		if r.escaped() == path {
			x.publish(g.resource(path, r.Scopes))
			return
		}
	}
	x.refuse(answer{status: http.StatusNotFound, kind: "no-route", title: "Nothing is served here"})
}

func (g *Gate) resource(path string, scopes []string) resource {
	return resource{
		Resource:             g.publicURL() + path,
		AuthorizationServers: g.authorizationServers(),
		Scopes:               g.full(scopes),
		BearerMethods:        []string{"header"},
	}
}

// authorizationServers are the issuers that tokens may be got from. Clients take
// the first.
func (g *Gate) authorizationServers() (all []string) {
	if g.o.Shim != nil {
		return []string{g.publicURL()}
	}
	for _, t := range g.o.Tenants {
		all = append(all, g.o.Authority+"/"+t+"/v2.0")
	}
	return all
}

// scopes are those of all routes.
func (g *Gate) scopes() (all []string) {
	for _, r := range g.routes {
		all = append(all, r.Scopes...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// publicURL is the origin that clients see, without a slash at its end.
func (g *Gate) publicURL() string { return g.o.PublicURL.Scheme + "://" + g.o.PublicURL.Host }

// metadataURL is where the metadata of the route is.
func (g *Gate) metadataURL(r *route) string { return g.publicURL() + resourceMetadata + r.escaped() }

// escaped is the route's path as it stands in a URL, "" for the whole origin.
func (r *route) escaped() string {
	return strings.TrimSuffix((&url.URL{Path: r.Path}).EscapedPath(), "/")
}

// cutSegments returns what of path is below prefix: "" for prefix itself.
func cutSegments(path, prefix string) (string, bool) {
	rest, ok := strings.CutPrefix(path, prefix)
	return rest, ok && (rest == "" || rest[0] == '/')
}

// publish answers with a document that every page may read.
func (x *exchange) publish(document any) {
	if !x.open(http.MethodGet, http.MethodHead) {
		return
	}
	body, err := json.Marshal(document)
	if err != nil { // strings always marshal
		panic(err)
	}
	h := x.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "public, max-age=300")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = x.w.Write(body) // the client may have gone
}
