package gate

import (
	"net/http"

	"github.com/injectproxy/injectproxy/internal/verify"
)

// exchange is one request on its way through the gate, each stage of which
// leaves here what the later ones need.
type exchange struct {
	w    http.ResponseWriter
	r    *http.Request
	seen *Request

	body  *body // what r brought; r.Body is it until a stage has read it
	held  hold  // of what all bodies may hold
	begun bool  // Began was told

	route  *route
	caller *verify.Caller // nil: anonymous

	// On a route on behalf of users, the caller's own token, which goes to Entra
	// alone, and what it was exchanged for, which goes upstream alone. They are in
	// nothing that is told or logged.
	assertion, token string

	message *message // what the body says; nil without one
	session session  // that the request belongs to; zero: none

	upstream *upstream // that answered; nil: none has
	listens  bool      // the client merely holds the answer, a stream, open
}

// enter takes a request for a route through the stages, and then upstream.
func (g *Gate) enter(x *exchange) {
	if g.passes(x) && g.onBehalf(x) {
		x.seen.Allowed = true
		g.forward(x)
	}
}

// passes takes a request through the stages that decide on it. Each of them
// returns false if it has answered. Who is refused enters no session, and takes none
// over.
func (g *Gate) passes(x *exchange) bool {
	return g.choose(x) && g.authenticate(x) && g.upgradable(x) && g.judge(x) && x.fits() && g.exchangeable(x) && g.bound(x)
}
