package gate

import (
	"net/http"
	"slices"
	"strings"
)

// What pages of an allowed origin may send, and read of an answer, beside what
// every page may (Fetch, section 4.9). The browser asks for it before.
const (
	allowedHeaders = "Authorization, Content-Type, Accept, Last-Event-ID, Mcp-Session-Id, Mcp-Protocol-Version, Mcp-Method, Mcp-Name"
	allowedMethods = "GET, POST, DELETE"
	exposedHeaders = "Mcp-Session-Id, Mcp-Protocol-Version, WWW-Authenticate, Retry-After"
)

// originAllowed decides on a request of a page: on its Origin, which a browser
// does not let a page forge. It comes before everything else, so that a page
// that is not listed learns nothing and causes nothing. False means that the
// request has been answered, which a preflight always is.
func (g *Gate) originAllowed(x *exchange) bool {
	origins := x.r.Header["Origin"]
	if len(x.route.Origins) > 0 {
		x.w.Header().Add("Vary", "Origin")
	}
	if len(origins) == 0 {
		return true
	}
	if len(origins) > 1 || !slices.ContainsFunc(x.route.Origins, func(o string) bool { return strings.EqualFold(o, origins[0]) }) {
		x.refuse(answer{
			status: http.StatusForbidden, kind: "origin", denied: deniedOrigin,
			title: "Pages of this origin may not use this server",
			hint:  "The administrator of the gate can list it in the route's origins",
		})
		return false
	}
	h := x.w.Header()
	h.Set("Access-Control-Allow-Origin", origins[0])
	if x.r.Method == http.MethodOptions && x.r.Header.Get("Access-Control-Request-Method") != "" {
		x.preflight(x.methods(), allowedHeaders+paramHeaders(x.r.Header.Get("Access-Control-Request-Headers")))
		return false
	}
	h.Set("Access-Control-Expose-Headers", exposedHeaders)
	return true
}

// methods are those that a page may use.
func (x *exchange) methods() string {
	if x.route.plain() {
		return allowedMethods + ", PUT, PATCH"
	}
	return allowedMethods
}

// paramHeaders are those of asked that carry a tool's parameters (MCP
// 2026-07-28), whose names only the tool knows.
func paramHeaders(asked string) (all string) {
	for name := range strings.SplitSeq(asked, ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		if param, ok := strings.CutPrefix(name, "mcp-param-"); ok && isToken68(param) && !strings.ContainsAny(param, "/=") {
			all += ", " + name
		}
	}
	return all
}

// preflight says what a page may do. Credentials of the browser's own are never
// among it: a token is put into each request by the page.
func (x *exchange) preflight(methods, headers string) {
	h := x.w.Header()
	h.Add("Vary", "Access-Control-Request-Method, Access-Control-Request-Headers")
	h.Set("Access-Control-Allow-Methods", methods)
	h.Set("Access-Control-Allow-Headers", headers)
	h.Set("Access-Control-Max-Age", "600")
	x.w.WriteHeader(http.StatusNoContent)
}

// open lets the pages of all origins use what is open to everybody anyway, by
// those methods. False means that the request has been answered.
func (x *exchange) open(methods ...string) bool {
	allow := strings.Join(methods, ", ")
	h := x.w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	switch {
	case slices.Contains(methods, x.r.Method):
		return true
	case x.r.Method == http.MethodOptions:
		h.Set("Allow", allow+", OPTIONS")
		x.preflight(allow, "Authorization, Content-Type, Accept, Mcp-Protocol-Version")
	default:
		x.refuseMethod(allow + ", OPTIONS")
	}
	return false
}

// refuseMethod says which methods there are.
func (x *exchange) refuseMethod(allow string) {
	x.w.Header().Set("Allow", allow)
	x.refuse(answer{status: http.StatusMethodNotAllowed, kind: "method", denied: deniedMethod, title: "This method is not served here"})
}
