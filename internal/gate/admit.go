package gate

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/injectproxy/injectproxy/internal/verify"
)

// admit decides whether the route lets in the caller, whose token is valid. One
// without scopes and roles speaks for nobody: any application of the tenant can
// get it, without anybody's having granted a thing.
func (g *Gate) admit(x *exchange) bool {
	c, r := x.caller, x.route
	granted := len(c.Scopes)+len(c.Roles) > 0
	if granted && r.met(c) {
		return true
	}
	x.peek()
	switch {
	case !granted:
		x.refuse(nothingGranted(r))
	case len(c.Scopes) > 0 && len(r.Scopes) > 0: // a user, whom another sign-in helps
		x.refuse(g.lacksScope(r))
	default:
		x.refuse(lacksRole(r, c))
	}
	return false
}

func nothingGranted(r *route) answer {
	return answer{
		status: http.StatusForbidden, kind: "no-permission", denied: deniedNoPermission, readable: true,
		title:  "The access token carries no permission",
		detail: "it has neither scp nor roles",
		hint:   "What is needed is " + r.Needs.words(),
	}
}

func (g *Gate) lacksScope(r *route) answer {
	title := "The access token lacks a scope"
	return answer{
		status: http.StatusForbidden, kind: "insufficient-scope", denied: deniedScope,
		title:     title,
		hint:      "What is needed is " + r.Needs.words(),
		challenge: g.challenge(r, insufficientScope, title, r.Scopes),
	}
}

// lacksRole is what no sign-in mends: a challenge would send agents into one that
// cannot help.
func lacksRole(r *route, c *verify.Caller) answer {
	who, hint := "this application", "Only users are let in here: the operator of the gate has to name a role for applications in the route's roles"
	if len(c.Scopes) > 0 {
		who = "this user"
	}
	if len(r.Roles) > 0 {
		hint = fmt.Sprintf("What is needed is %s: an administrator has to assign it to %s", Needs{Roles: r.Roles}.words(), who)
	}
	return answer{
		status: http.StatusForbidden, kind: "no-role", denied: deniedRole, readable: true,
		title: "The caller has no role that this server asks for", hint: hint,
	}
}

// words says what the needs are.
func (n Needs) words() string {
	var all []string
	for _, s := range n.Scopes {
		all = append(all, "the scope "+s)
	}
	for _, s := range n.Roles {
		all = append(all, "the role "+s)
	}
	if len(all) == 0 {
		return "any scope or role of this server's application"
	}
	return strings.Join(all, " or ")
}

// peeked is the most of a body that is read to answer who is not let in.
const peeked = 64 << 10

// peek reads which requests a short message has, so that its refusal answers
// them: some clients take another one for the end of their session. It is for who
// showed a valid token; bodies of strangers are not read.
func (x *exchange) peek() {
	if x.r.Method != http.MethodPost || x.r.ContentLength <= 0 || x.r.ContentLength > peeked {
		return
	}
	b, err := io.ReadAll(io.LimitReader(x.r.Body, peeked))
	if err != nil {
		return // it left; nobody reads the answer
	}
	x.message, _ = parse(b) // what cannot be read has no requests to answer
}
