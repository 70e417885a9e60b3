package gate

import (
	"errors"
	"net/http"
	"slices"
	"time"

	onbehalf "github.com/injectproxy/injectproxy/internal/exchange"
)

// hasToken is what Request.Exchange says where the caller's token was exchanged.
const hasToken = "ok"

// onBehalf gets the token that the upstream is shown, in exchange for the caller's
// own, where the route has it so. Who is anonymous is that to the upstream, too.
func (g *Gate) onBehalf(x *exchange) bool {
	if x.route.OnBehalfOf == nil || x.caller == nil {
		return true
	}
	token, err := x.route.OnBehalfOf.Exchange(x.r.Context(), x.caller.Tenant, x.assertion)
	why := x.keepToken(token, err)
	if why != nil {
		x.refuseReadably(g.untold(x, why, "nothing was sent to the MCP server"))
	}
	return why == nil
}

// exchangeable refuses, on such a route, the token of an application, which Entra
// would not exchange, and one that is about to end: what came of that would go on to
// speak for a user who may be gone by then.
func (g *Gate) exchangeable(x *exchange) bool {
	switch {
	case x.route.OnBehalfOf == nil || x.caller == nil:
		return true
	case len(x.caller.Scopes) == 0:
		x.refuseReadably(answer{
			status: http.StatusForbidden, kind: "application", denied: deniedApplication, readable: true,
			title:  "This MCP server is used on behalf of users, and the caller is an application",
			detail: "the access token has no scp, as tokens of applications have none",
			hint:   "Call it with a user's token",
		})
	case time.Until(x.caller.Expires) < onbehalf.LeastLeft:
		why := "the access token is good for less than 5 minutes more, and cannot be exchanged"
		x.refuseReadably(answer{
			status: http.StatusUnauthorized, kind: "token-ending", denied: deniedEnding,
			title: "The access token ends too soon", detail: why, hint: "Get another one",
			challenge: g.challenge(x.route, invalidToken, why, x.route.Scopes),
		})
	default:
		return true
	}
	return false
}

// refuseReadably answers the requests of the body, also where nobody has read it.
func (x *exchange) refuseReadably(a answer) {
	if x.message == nil {
		x.peek()
	}
	x.refuse(a)
}

// keepToken keeps what the caller's token was exchanged for, and notes what became of
// that. What no header can carry is no token, nor is one that was there before: the
// caller's own, or the one that the upstream has refused.
//
// It panics with [http.ErrAbortHandler] if the client has left.
func (x *exchange) keepToken(token string, err error) *onbehalf.Refusal {
	if err != nil && x.r.Context().Err() != nil {
		x.seen.Late = x.seen.Attempts > 0
		panic(http.ErrAbortHandler) // there is nobody to answer
	}
	no, known := errors.AsType[*onbehalf.Refusal](err)
	switch {
	case known:
	case err != nil:
		no = &onbehalf.Refusal{Reason: onbehalf.Unavailable}
	case !isToken68(token) || token == x.assertion || token == x.token:
		no = &onbehalf.Refusal{Reason: onbehalf.Misconfigured, Detail: "what came in exchange is no other token"}
	default:
		x.token, x.seen.Exchange = token, hasToken
		return nil
	}
	x.token, x.seen.Exchange = "", string(no.Reason)
	return no
}

// echoes reports whether values of the upstream's header hold the token that it was
// shown. That is for the server alone, and the client has another application's
// consent to what it opens.
func (x *exchange) echoes(values []string) bool {
	return len(x.token) >= shortest && slices.ContainsFunc(values, func(value string) bool { return holds(value, x.token) })
}
