package gate

import (
	"net/http"
	"strings"
	"time"

	"github.com/injectproxy/injectproxy/internal/binding"
	"github.com/injectproxy/injectproxy/internal/verify"
)

// headerSession names the session that a request belongs to ("Session
// Management" in "Transports" of MCP 2025-03-26 to 2025-11-25).
const headerSession = "Mcp-Session-Id"

// mostSessionID is the longest id of a session, in bytes.
const mostSessionID = 1 << 10

// session is an MCP session of an upstream, that a request belongs to. It belongs
// to who began it.
type session struct {
	key      binding.Key
	upstream *upstream // that has it; nil: the request names no session
}

// The kinds of what a session is known by.
const (
	byHeader   = "header"   // its id, on one route
	byQuery    = "query"    // its id in the URL of the older transport
	byEndpoint = "endpoint" // that URL as a whole
	byPart     = "part"     // a segment or value of it
)

// ownerOf is whom the sessions of a caller belong to.
func ownerOf(c *verify.Caller) binding.Owner {
	if c == nil {
		return binding.Owner{}
	}
	return binding.Owner{Tenant: c.Tenant, Object: c.Object}
}

// everybody owns what the URLs of several callers' sessions have in common, and
// what is thus no id.
var everybody = binding.Owner{Object: "everybody"}

// Sessions returns how many sessions are known, -1 if the table does not tell.
func (g *Gate) Sessions() int {
	if t, ok := g.sessions.(interface{ Count() int }); ok {
		return t.Count()
	}
	return -1
}

// mark is something in a request that names a session.
type mark struct {
	key  binding.Key
	must bool // it names one: if that is unknown, the request is refused
	part bool // it may be the id of one, of that server
}

// bound finds the session that the request names, and whether it is the caller's.
// Another's is answered as one that there is not, so that the client begins anew.
func (g *Gate) bound(x *exchange) bool {
	if x.r.Method == http.MethodGet && wantsEvents(x.r.Header) {
		x.r.Header.Del("Accept-Encoding") // what begins a session of the older transport has to be read
	}
	marks, ok := g.marks(x)
	if !ok {
		x.refuse(answer{
			status: http.StatusBadRequest, kind: "unclear-session", denied: deniedSession,
			title: "The request does not name one session",
			hint:  "Send one Mcp-Session-Id of visible ASCII characters, as the server gave it, or none",
		})
		return false
	}
	if len(marks) == 0 {
		return true
	}
	known, err := g.sessions.Find(x.r.Context(), keysOf(marks)...)
	if err != nil {
		g.refuseUnknown(x, err)
		return false
	}
	for i, m := range marks {
		if !g.join(x, m, known[i]) {
			return false
		}
	}
	return true
}

// join makes the request one of the session that m names, of which b is known. It
// is false if it has answered.
func (g *Gate) join(x *exchange, m mark, b binding.Binding) bool {
	if m.part && (!b.Known() || b.Owner == everybody || x.route.upstreamAt(b.Upstream) == nil) {
		return true
	}
	caller := ownerOf(x.caller)
	if b.Known() && b.Owner == (binding.Owner{}) && caller != b.Owner { // nobody's until now
		var err error
		if b, err = g.sessions.Bind(x.r.Context(), m.key, binding.Binding{Owner: caller, Upstream: b.Upstream}); err != nil {
			g.refuseUnknown(x, err)
			return false
		}
	}
	u := x.route.upstreamAt(b.Upstream)
	switch {
	case !b.Known() && !m.must:
		return true
	case !b.Known(), b.Owner != caller, u == nil:
		x.refuseSession()
		return false
	}
	if x.session.upstream == nil {
		x.session = session{m.key, u}
	}
	return true
}

// sessionsUnknown is said while nobody can tell whose a session is.
var sessionsUnknown = answer{
	status: http.StatusServiceUnavailable, kind: "sessions-unknown", denied: deniedUnknown, title: "Sessions cannot be looked up at the moment",
	hint: "Try again in a moment", retryAfter: time.Second,
}

// noSession is what is said of a session that is not there.
var noSession = answer{
	status: http.StatusNotFound, kind: "no-session", title: "There is no such session",
	hint: "Begin another one, with initialize and without Mcp-Session-Id",
}

// refuseUnknown answers a request of a session that cannot be looked up for err.
func (g *Gate) refuseUnknown(x *exchange, err error) {
	g.o.Log.Debug("sessions cannot be looked up", "route", x.route.Path, "error", err)
	if x.message == nil {
		x.peek()
	}
	x.refuse(sessionsUnknown)
}

// refuseSession answers as a server does that has no such session.
func (x *exchange) refuseSession() {
	if x.message == nil {
		x.peek()
	}
	no := noSession
	no.denied = deniedSession
	x.refuse(no)
}

// upstreamAt returns the upstream of the route that a session is at, nil if it
// has none like it. The older transport may use two routes to one server.
func (r *route) upstreamAt(at string) *upstream {
	for _, u := range r.upstreams {
		if u.url.String() == at {
			return u
		}
	}
	for _, u := range r.upstreams {
		if strings.HasPrefix(at+"/", u.url.Scheme+"://"+u.url.Host+"/") {
			return u
		}
	}
	return nil
}
