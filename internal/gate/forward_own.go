package gate

import (
	"net/http"
	"slices"
	"strings"
)

// ownSignIn takes the challenge out of an answer of the upstream: it would send
// clients to another place for a token, with which they could not come in here. The
// status stays.
func (g *Gate) ownSignIn(x *exchange, h http.Header) {
	if len(h["Www-Authenticate"]) == 0 {
		return
	}
	delete(h, "Www-Authenticate")
	x.route.signIn.Do(func() {
		g.o.Log.Warn("the server behind the gate asks for a sign-in of its own, which clients are not told of", "route", x.route.Path, "upstream", x.seen.Upstream)
	})
}

// callersOwn has an answer that was given to a caller kept for nobody else: with
// these directives caches that many share may keep what a token was sent for (RFC
// 9111, section 3.5).
func callersOwn(h http.Header) {
	for name := range h {
		if name == "Surrogate-Control" || strings.HasSuffix(name, "Cdn-Cache-Control") { // RFC 9213: for some caches alone
			delete(h, name)
		}
	}
	said := h["Cache-Control"]
	if len(said) == 0 {
		return
	}
	kept := slices.DeleteFunc(directives(strings.Join(said, ",")), func(d string) bool {
		name, _, _ := strings.Cut(strings.ToLower(d), "=")
		return slices.Contains([]string{"", "public", "private", "s-maxage", "must-revalidate", "proxy-revalidate"}, strings.TrimSpace(name))
	})
	h["Cache-Control"] = []string{strings.Join(append([]string{"private"}, kept...), ", ")}
}

// directives are the parts of a list whose commas may stand within quotes.
func directives(list string) (all []string) {
	quoted := false
	for part := range strings.SplitSeq(list, ",") {
		if quoted {
			all[len(all)-1] += "," + part
		} else {
			all = append(all, strings.TrimSpace(part))
		}
		quoted = quoted != (strings.Count(part, `"`)%2 == 1)
	}
	return all
}
