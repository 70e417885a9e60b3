package gate

import (
	"strings"
	"unicode/utf8"

	"github.com/injectproxy/injectproxy/internal/listing"
	"github.com/injectproxy/injectproxy/internal/verify"
)

// Kind is what a name is of.
type Kind string

// The kinds of what is decided on by name. That of a resource is its URI.
const (
	Tool     Kind = "tool"
	Resource Kind = "resource"
	Prompt   Kind = "prompt"
)

// Decision is what a route says of one caller and one tool, resource or prompt.
type Decision struct {
	Allowed bool
	Pattern string // of the grant that decides; "": none names it, and the route's default decides
	Needs   Needs  // that the grant asks for
	Denied  string // why not, a word of Denials; "" if it is allowed
	Mends   bool   // denied, and a sign-in could change that: the caller gets a challenge
	Unclear bool   // of a URI: it may be another one's for the server, so that only its own name counts
}

// Judge decides whether the caller, nil for the anonymous one, may have the tool,
// resource or prompt of that name, once the route has let it in. The pattern that
// is the name itself decides, else the one with the most characters beside *. Of
// several with as many each has to be met: none of them is the more exact.
//
// What servers may take for another spelling of what a pattern keeps from the
// caller is kept from it, too, unless a pattern is the name itself.
func (r Route) Judge(kind Kind, name string, c *verify.Caller) Decision {
	grants := r.grants(kind)
	d := Decision{Unclear: kind == Resource && ambiguous(name)}
	g, least := Grant{}, 0
	i := best(kind, grants, name, c)
	if i >= 0 {
		g, least = grants[i], weight(grants[i].Pattern)
	}
	if exact := i >= 0 && g.Pattern == name; !exact && g.Needs.met(c) {
		if other, ok := kept(grants, kind, name, c, least); ok {
			i, g = 0, other
		}
	}
	switch {
	case !g.Needs.met(c):
		d.Denied, d.Mends = lacking(g.Needs, c)
	case i >= 0:
		d.Allowed = !d.Unclear || g.Pattern == name
	default:
		d.Allowed = r.Allow && (!d.Unclear || len(grants) == 0)
	}
	if !d.Allowed && d.Denied == "" {
		d.Denied = deniedUnmapped
		return d
	}
	d.Pattern, d.Needs = g.Pattern, g.Needs
	return d
}

// lacking says what a caller lacks that has none of what is needed, and whether
// it could sign in with it.
func lacking(n Needs, c *verify.Caller) (word string, mends bool) {
	switch {
	case c == nil:
		return deniedNoToken, true
	case len(n.Scopes) > 0 && len(c.Scopes) > 0: // scopes are what users have
		return deniedScope, true
	case len(n.Roles) > 0:
		return deniedRole, false
	}
	return deniedScope, false
}

func (r Route) grants(kind Kind) []Grant {
	switch kind {
	case Tool:
		return r.Tools
	case Resource:
		return r.Resources
	case Prompt:
		return r.Prompts
	}
	return nil
}

// best returns which grant decides on a name, -1 if none does: of the most exact
// ones one that the caller does not meet, if there is one, and that no sign-in
// mends rather than another; else the first.
func best(kind Kind, grants []Grant, name string, c *verify.Caller) int {
	found, most := -1, -1
	for i, g := range grants {
		n := weight(g.Pattern)
		if n < most || !means(kind, g.Pattern, name) {
			continue
		}
		if n > most || stricter(g.Needs, grants[found].Needs, c) {
			found, most = i, n
		}
	}
	return found
}

// means reports whether a pattern means a name. One of URIs that has neither ?
// nor # says nothing of queries and fragments: *.md does not mean file:///key#.md.
func means(kind Kind, pattern, name string) bool {
	if !listing.Match(pattern, name) {
		return false
	}
	return kind != Resource || strings.ContainsAny(pattern, "?#") || listing.Match(pattern, without(name))
}

// stricter reports whether a keeps more from the caller than b does.
func stricter(a, b Needs, c *verify.Caller) bool {
	switch {
	case a.met(c):
		return false
	case b.met(c):
		return true
	}
	_, mendsA := lacking(a, c)
	_, mendsB := lacking(b, c)
	return mendsB && !mendsA
}

// weight says how much of a name a pattern knows: a pattern without * all of it.
func weight(pattern string) int {
	wild := strings.Count(pattern, "*")
	if wild == 0 {
		return 1 << 30
	}
	return utf8.RuneCountInString(pattern) - wild
}
