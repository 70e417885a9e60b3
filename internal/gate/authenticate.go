package gate

import (
	"net/http"
	"strings"
)

// public answers what is open to everybody: health and metadata. It is false for
// everything else.
func (g *Gate) public(x *exchange) bool { return false }

// authenticate finds out whom the request comes from, and whether the route lets
// them in.
func (g *Gate) authenticate(x *exchange) bool {
	token, ok := strings.CutPrefix(x.r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		x.refuse(answer{status: http.StatusUnauthorized, kind: "no-token", title: "An access token is needed", challenge: "Bearer"})
		return false
	}
	caller, err := g.o.Verify(x.r.Context(), token)
	if err != nil {
		x.refuse(answer{status: http.StatusUnauthorized, kind: "invalid-token", title: "The access token is not valid", challenge: "Bearer"})
		return false
	}
	x.caller, x.seen.Caller = caller, caller
	return true
}
