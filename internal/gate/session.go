package gate

import "net/http"

// session is an MCP session of an upstream. It belongs to who began it.
type session struct {
	id             string
	tenant, object string // of its owner; both "" for an anonymous one
	upstream       *upstream
}

// sessions are those that upstreams have given.
type sessions struct{}

func newSessions() *sessions { return &sessions{} }

// bound finds the session that the request names, and whether it is the caller's.
func (g *Gate) bound(x *exchange) bool { return true }

// bind notes a session that the upstream begins, or no longer has.
func (g *Gate) bind(x *exchange, res *http.Response) {}
