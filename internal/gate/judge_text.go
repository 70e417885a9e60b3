package gate

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// mostTold is how much of a name is told of it.
const mostTold = 128

// short returns the beginning of a long string.
func short(s string) string {
	if len(s) <= mostTold {
		return s
	}
	end := mostTold
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}

// told is the name as logs may have it: of a URI without what may be a secret, its
// query, fragment, parameters and user.
func (s subject) told() string {
	if s.kind != Resource {
		return s.name
	}
	uri, _, _ := cutAny(s.name, "?#;")
	for _, encoded := range []string{"%3f", "%3F", "%23", "%3b", "%3B"} {
		uri, _, _ = strings.Cut(uri, encoded)
	}
	scheme, rest, ok := strings.Cut(uri, ":")
	at := strings.LastIndexByte(rest, '@')
	if !ok || at < 0 {
		return uri
	}
	slashes := len(rest) - len(strings.TrimLeft(rest, `/\`))
	if user := rest[min(slashes, at):at]; strings.Contains(user, ":") || slashes > 0 && !strings.ContainsAny(user, `/\`) {
		rest = rest[:min(slashes, at)] + rest[at+1:] // a password may have slashes
	}
	return scheme + ":" + rest
}

// what says what is denied. The names are the client's own, in its own message.
func (no refusal) what() string {
	if no.kind == "" {
		return fmt.Sprintf("the method %q", short(no.call.Method))
	}
	return fmt.Sprintf("the %s %q", no.kind, short(no.name))
}

// way says what would have it allowed.
func (g *Gate) way(x *exchange, no refusal) string {
	needed := Needs{Scopes: g.full(no.Needs.Scopes), Roles: no.Needs.Roles}.words()
	switch {
	case no.kind == "":
		return "Nobody may send it: it is none of MCP that the gate knows, and default is deny"
	case no.Unclear && no.Denied == deniedUnmapped:
		return "No pattern decides on a URI that is spelled so that it can be read as another one (dot segments, encoded letters, backslashes, double slashes, capitals in the scheme, blanks): it has to be named as it is"
	case no.Denied == deniedUnmapped:
		return "Nobody may have it: the gate's configuration does not name it, and default is deny"
	case x.caller == nil:
		return "It takes a sign-in, with " + needed
	case no.Mends:
		return "It takes " + needed
	case len(x.caller.Scopes) > 0:
		return fmt.Sprintf("It takes %s, and signing in again does not change that: an administrator has to assign it", needed)
	case no.Denied == deniedScope:
		return fmt.Sprintf("It takes %s, which only users can have, and the token is an application's", needed)
	}
	return fmt.Sprintf("It takes %s, which an administrator has to assign to the application", needed)
}

// reason is all that is said of one message.
func (g *Gate) reason(x *exchange, no refusal) string {
	what := no.what()
	return strings.ToUpper(what[:1]) + what[1:] + " is denied. " + g.way(x, no)
}
