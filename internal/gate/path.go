package gate

import (
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// mostDecoding is how many times a path may be encoded in itself. One that is
// still encoded then is refused.
const mostDecoding = 4

// cleanPath returns the path of r, decoded once, and decoded to the end. It is
// false for a path that two servers could read differently, and for one that could
// not go upstream byte for byte: then the rules of a route would not be those of
// what the upstream serves.
func cleanPath(r *http.Request) (path, deepest string, ok bool) {
	target := r.RequestURI
	if r.URL.IsAbs() { // the absolute form: its authority is Host (RFC 9112, section 3.2.2)
		_, target, _ = strings.Cut(target, "://")
		i := strings.IndexAny(target, "/?")
		if i < 0 || r.URL.User != nil {
			return "", "", false
		}
		target = target[i:]
	}
	raw, _, _ := strings.Cut(target, "?")
	if raw != r.URL.EscapedPath() || !visible(r.RequestURI) {
		return "", "", false
	}
	deepest, ok = decoded(raw)
	return r.URL.Path, deepest, ok
}

// visible reports whether target can stand in the first line of an HTTP/1
// request. HTTP/2 can carry a blank there, which would end it.
func visible(target string) bool {
	for i := range len(target) {
		if c := target[i]; c <= ' ' || c >= 0x7f || c == '#' {
			return false
		}
	}
	return target != ""
}

// decoded returns path when there is nothing left to decode in it. It is false if
// one of the readings on the way there is no plain path, or has other segments.
func decoded(path string) (string, bool) {
	for range mostDecoding + 1 {
		if !plainSegments(path) {
			return "", false
		}
		again, err := url.PathUnescape(path)
		if err != nil || again == path { // an error: a percent sign that stands for itself
			return path, true
		}
		if strings.Count(again, "/") != strings.Count(path, "/") {
			return "", false
		}
		path = again
	}
	return "", false
}

// plainSegments reports whether path is absolute and none of its segments is
// empty, but for the last, or means another place than below the one before.
func plainSegments(path string) bool {
	rest, ok := strings.CutPrefix(path, "/")
	if !ok || !utf8.ValidString(path) || strings.ContainsFunc(path, unclear) {
		return false
	}
	segments := strings.Split(rest, "/")
	for i, s := range segments {
		bare := trimmed(s)
		if s == "" && i == len(segments)-1 {
			continue
		}
		if bare == "" { // nothing, dots, or dots and parameters
			return false
		}
	}
	return true
}

// unclear are characters that some server takes for a slash, or for an end.
func unclear(r rune) bool {
	return r == '\\' || r < ' ' || r == 0x7f || r == '／' || r == '＼' || r == '∕' || r == '⁄'
}

// trimmed is a segment as servers find it that decode before they look for the end
// of the path: without parameters, what could begin a query or a fragment, and what
// Windows, or a careful reader of names, ignores at its end.
func trimmed(segment string) string {
	if i := strings.IndexAny(segment, ";?#"); i >= 0 {
		segment = segment[:i]
	}
	return strings.TrimRightFunc(segment, func(r rune) bool { return r == '.' || unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) })
}

// lenient is path as a lenient server reads it. What stands behind a colon is to
// Windows a stream of the file, and the file itself.
func lenient(path string) string {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		s, _, _ = strings.Cut(s, ":")
		segments[i] = strings.ToLower(trimmed(s))
	}
	return strings.Join(segments, "/")
}
