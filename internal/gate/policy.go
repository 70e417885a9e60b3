package gate

import (
	"slices"
	"strconv"
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
	Climbs  bool   // of a URI: it may lead out of what a pattern means, so that only its own name counts
}

// Judge decides whether the caller, nil for the anonymous one, may have the tool,
// resource or prompt of that name, once the route has let it in. The pattern that
// is the name itself decides, else the one with the most characters beside *. Of
// several with as many each has to be met: none of them is the more exact.
func (r Route) Judge(kind Kind, name string, c *verify.Caller) Decision {
	grants := r.grants(kind)
	d := Decision{Climbs: kind == Resource && climbs(name)}
	g, ok := best(grants, name, c)
	switch {
	case ok && g.Needs.met(c) && (!d.Climbs || g.Pattern == name):
		return Decision{Allowed: true, Pattern: g.Pattern, Needs: g.Needs, Climbs: d.Climbs}
	case ok && !g.Needs.met(c):
		d.Pattern, d.Needs = g.Pattern, g.Needs
		d.Denied, d.Mends = lacking(g.Needs, c)
	case !ok && r.Allow && (!d.Climbs || len(grants) == 0):
		d.Allowed = true
	default:
		d.Denied = deniedUnmapped
	}
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

// best returns the grant that decides on a name: of the most exact ones one that
// the caller does not meet, if there is one, and that no sign-in mends rather than
// another; else the first.
func best(grants []Grant, name string, c *verify.Caller) (found Grant, ok bool) {
	most := -1
	for _, g := range grants {
		n := weight(g.Pattern)
		if n < most || !listing.Match(g.Pattern, name) {
			continue
		}
		if n > most || stricter(g.Needs, found.Needs, c) {
			found, ok, most = g, true, n
		}
	}
	return found, ok
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

// climbs reports whether a server might find dot segments in a URI, or decode
// some. What is left of file:///public/../private is not what file:///public/*
// means.
func climbs(uri string) bool {
	for range 4 {
		segments := strings.FieldsFunc(uri, func(c rune) bool { return strings.ContainsRune(`/\:?#;`, c) })
		if slices.Contains(segments, "..") || slices.Contains(segments, ".") || strings.ContainsFunc(uri, control) {
			return true
		}
		decoded := unescape(uri)
		if decoded == uri {
			return false
		}
		uri = decoded
	}
	return true // nobody encodes that often in earnest
}

func control(c rune) bool { return c < ' ' || c == 0x7f }

// unescape decodes each %XX once, and leaves what is none.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c, skip := s[i], 0
		if c == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				c, skip = byte(n), 2
			}
		}
		b.WriteByte(c)
		i += skip
	}
	return b.String()
}
