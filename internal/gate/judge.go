package gate

import (
	"net/http"
	"slices"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// judge reads the message that a POST brings, and decides whether the caller may
// have it passed on. What a plain route carries is read only to tell of it.
func (g *Gate) judge(x *exchange) bool {
	switch {
	case x.route.plain():
		x.glimpse()
		return true
	case x.r.Method == http.MethodPost:
		return g.read(x) && g.confirmed(x) && g.decide(x)
	case x.r.ContentLength != 0:
		x.refuse(answer{
			status: http.StatusBadRequest, kind: "unwanted-body", denied: deniedMessage,
			title: "A request of this method has no body", hint: "Send messages by POST",
		})
		return false
	}
	return true
}

// refusal is why a message is denied.
type refusal struct {
	Decision
	subject
	call *call
}

// decide finds out whether the caller may have everything that the message asks
// for. Nothing is done by half: of a batch in which one message is denied none is
// passed on.
func (g *Gate) decide(x *exchange) bool {
	var all []refusal
	for i := range x.message.calls {
		c := &x.message.calls[i]
		if no, denied := x.route.denies(c, x); denied {
			no.call = c
			c.why = g.reason(x, no)
			all = append(all, no)
		}
	}
	x.tell(all)
	if len(all) > 0 {
		x.refuse(g.denial(x, all))
	}
	return len(all) == 0
}

// denies returns why a message is denied, if it is. Of several reasons it is one
// that no sign-in mends.
func (r *route) denies(c *call, x *exchange) (no refusal, denied bool) {
	if c.Kind == jsonrpc.Response || known(c.Method) == anybodys {
		return no, false
	}
	if known(c.Method) == notOfMCP {
		return refusal{Decision: Decision{Denied: deniedMethod}}, !r.Allow
	}
	for _, s := range c.about {
		if d := r.Judge(s.kind, s.name, x.caller); !d.Allowed && (!denied || !d.Mends) {
			no, denied = refusal{Decision: d, subject: s}, true
		}
	}
	return no, denied
}

// tell notes what the message is, and what it is about. Of a batch that is what
// is denied, if anything is.
func (x *exchange) tell(all []refusal) {
	m := x.message
	x.seen.Message = "batch"
	if !m.batch {
		x.seen.Message = short(m.calls[0].Method)
	}
	about := m.calls[0].about
	if len(all) > 0 {
		about = []subject{all[0].subject}
	}
	if len(about) > 0 {
		x.seen.Name = short(about[0].told())
	}
}

// denial is the answer to a message of which something is denied. It is a
// challenge only if the caller could get all that is missing by signing in:
// otherwise agents would start what cannot help.
func (g *Gate) denial(x *exchange, all []refusal) answer {
	worst, scopes := all[0], slices.Clone(x.route.Scopes)
	for _, no := range all {
		if worst.Mends && !no.Mends {
			worst = no
		}
		for _, s := range no.Needs.Scopes {
			if !slices.Contains(scopes, s) {
				scopes = append(scopes, s)
			}
		}
	}
	a := answer{
		status: http.StatusForbidden, kind: "denied", denied: worst.Denied, title: "The caller may not have this",
		detail: worst.what(), hint: g.way(x, worst),
	}
	switch {
	case worst.Denied == deniedMethod && x.stateless():
		a.status = http.StatusNotFound
	case !worst.Mends:
		a.readable = true
	case x.caller == nil:
		a.status, a.challenge = http.StatusUnauthorized, g.challenge(x.route, "", "", scopes)
	default:
		a.kind, a.title = "insufficient-scope", "The access token lacks a scope"
		a.challenge = g.challenge(x.route, insufficientScope, a.title, scopes)
	}
	return a
}
