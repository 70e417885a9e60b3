package gate

import (
	"strings"
	"unicode"

	"github.com/injectproxy/injectproxy/internal/verify"
)

// kept returns a grant that the caller does not meet and that decides on another
// spelling of a name, as exactly as the one of weight at least does on the name
// itself.
func kept(grants []Grant, kind Kind, name string, c *verify.Caller, least int) (found Grant, ok bool) {
	var spelled []Grant
	closed := false
	for _, g := range grants {
		g.Pattern = normal(kind, g.Pattern)
		spelled, closed = append(spelled, g), closed || !g.Needs.met(c)
	}
	if !closed {
		return found, false
	}
	for _, s := range aliases(kind, name) {
		if i := best(kind, spelled, s, c); i >= 0 && !spelled[i].Needs.met(c) && weight(spelled[i].Pattern) >= least {
			return grants[i], true
		}
	}
	return found, false
}

// aliases returns what servers may take a name for: whatever the case is, and of
// a URI decoded, without its fragment, its query, its user and the port that its
// scheme has anyway, with a slash at its end or without, and the path alone of a
// file.
func aliases(kind Kind, name string) []string {
	if kind != Resource {
		return []string{normal(kind, name)}
	}
	whole := normal(kind, strings.ReplaceAll(name, "*", "%2a"))
	all := []string{whole}
	for _, chars := range []string{"#", "?#"} {
		if s, _, found := cutAny(whole, chars); found {
			all = append(all, s)
		}
	}
	for _, s := range all {
		if rest, ok := strings.CutPrefix(s, "file://"); ok && !strings.HasPrefix(rest, "/") {
			_, path, _ := strings.Cut(rest, "/")
			all = append(all, "file:///"+path, "file:///"+rest)
		}
	}
	for _, s := range all {
		bare := strings.TrimRight(s, "/")
		all = append(all, bare, bare+"/")
	}
	return all
}

// normal is the form in which the spellings of a name, or of a pattern, are
// compared. An encoded * stays: in a pattern it is none.
func normal(kind Kind, s string) string {
	if kind != Resource {
		return folded(s)
	}
	for range mostDecoded {
		s = unescape(s, func(c byte) bool { return c != '*' })
	}
	s = folded(s)
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return s
	}
	host, path, _ := cutAny(rest, "/?#")
	host = host[strings.LastIndexByte(host, '@')+1:]
	host = strings.TrimSuffix(host, ":")
	switch scheme {
	case "http", "ws":
		host = strings.TrimSuffix(host, ":80")
	case "https", "wss":
		host = strings.TrimSuffix(host, ":443")
	case "ftp":
		host = strings.TrimSuffix(host, ":21")
	}
	return scheme + "://" + host + path
}

// folded is s in lower case, in which a long s is an s, too.
func folded(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII }) {
		s = strings.ToUpper(s)
	}
	return strings.ToLower(s)
}

// without is a URI up to its query and fragment. A pattern that has neither does
// not look for its end there.
func without(uri string) string {
	uri, _, _ = cutAny(uri, "?#")
	return uri
}
