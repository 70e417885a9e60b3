// Package match decides which rule, if any, a request belongs to. It is pure:
// it opens nothing, asks nobody and knows neither tokens nor HTTP.
//
// An authority matches exactly, a path by whole segments, and only if every
// reading that a server could make of it agrees (see reading.go). The package
// refuses by silence: what it cannot read in one way belongs to no rule.
package match

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// Prefix is an https authority and a path below which a rule holds. Prefixes
// are comparable: two are equal if they cover the same requests. The zero
// Prefix covers nothing and lies within nothing.
type Prefix struct {
	authority string // canonical host:port
	path      string // decoded, begins and ends with a slash
}

// ParsePrefix reads an absolute https URL such as
// "https://api.example/v1/". The slash at its end may be left out; either way
// it covers /v1 and what lies below, never /v1-admin.
//
// It refuses whatever servers do not read alike: query, fragment, userinfo,
// wildcards, dot segments, empty segments, parameters, backslashes, encoded
// separators, control bytes, double encoding. The error is one line for the
// author of the prefix and repeats none of it, since a URL may hold a secret.
func ParsePrefix(s string) (Prefix, error) {
	const scheme = "https://"
	if len(s) < len(scheme) || !strings.EqualFold(s[:len(scheme)], scheme) {
		return Prefix{}, errors.New("prefix is not an absolute https URL")
	}
	hostport, path := s[len(scheme):], ""
	if i := strings.IndexAny(hostport, `/\?#`); i >= 0 {
		hostport, path = hostport[:i], hostport[i:]
	}
	authority, problem := canonical(hostport)
	if problem == "" {
		path, problem = decodePrefix(path)
	}
	if problem != "" {
		return Prefix{}, errors.New("prefix " + problem)
	}
	return Prefix{authority: authority, path: path}, nil
}

// decodePrefix returns path decoded and with a slash at its end, or what is
// wrong with it.
func decodePrefix(path string) (decoded, problem string) {
	if problem := misspelt(path); problem != "" {
		return "", problem
	}
	if ok, _ := decodable(path, true); !ok {
		return "", "has a malformed percent escape"
	}
	path = unescape(path, every)
	if problem := misdirected(path); problem != "" {
		return "", problem
	}
	return strings.TrimSuffix(path, "/") + "/", ""
}

// misspelt says what a prefix's path may not hold as it is written.
func misspelt(path string) string {
	for i := range len(path) {
		switch c := path[i]; {
		case c == '?':
			return "has a query"
		case c == '#':
			return "has a fragment"
		case c == '\\':
			return "has a backslash"
		case control(c):
			return "has a control character"
		case strings.IndexByte(" \"<>^`{|}", c) >= 0:
			return "has the character '" + string(c) + "', which a URL holds percent-encoded only"
		}
	}
	lower := strings.ToLower(path)
	if strings.Contains(lower, "%2f") || strings.Contains(lower, "%5c") {
		return "has an encoded slash or backslash"
	}
	return ""
}

// misdirected says what a prefix's decoded path may not hold: anything that
// makes one of its readings differ from the others.
func misdirected(path string) string {
	if !utf8.ValidString(path) {
		return "is not valid UTF-8"
	}
	for i := range len(path) {
		switch c := path[i]; {
		case control(c):
			return "has a control character"
		case c == '*':
			return "has a wildcard"
		case c == ';':
			return "has a path parameter (;)"
		case c == '?' || c == '#':
			return "has an encoded '?' or '#'"
		}
	}
	if ok, more := decodable(path, false); !ok || more {
		return "is percent-encoded twice"
	}
	for segment := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if segment == "." || segment == ".." {
			return "has a dot segment"
		}
	}
	if strings.Contains(path, "//") {
		return "has an empty path segment"
	}
	return ""
}

// String returns the canonical "https://host[:port]/path/", which
// [ParsePrefix] reads back as p; "" for the zero Prefix.
func (p Prefix) String() string {
	if p == (Prefix{}) {
		return ""
	}
	return "https://" + strings.TrimSuffix(p.authority, ":443") + escape(p.path)
}

// Authority returns the canonical "host:port", as [Authority] does.
func (p Prefix) Authority() string { return p.authority }

// Covers reports whether a request lies under p: the authority, which has to be
// canonical, is p's, and so is every reading of rawPath. RawPath is the path
// as on the wire, up to the question mark.
func (p Prefix) Covers(authority, rawPath string) bool {
	if p == (Prefix{}) || authority != p.authority {
		return false
	}
	if plain(rawPath) {
		return p.holds(rawPath)
	}
	return agree(rawPath, func(reading string) bool { return p.holds(fold(reading)) }) == Matched
}

// holds reports whether path lies under p as it is written.
func (p Prefix) holds(path string) bool {
	return strings.HasPrefix(path, p.path) || path == p.path[:len(p.path)-1]
}

// Within reports whether all that p covers is covered by outer too. Two
// prefixes overlap if one of them lies within the other.
func (p Prefix) Within(outer Prefix) bool {
	return outer != (Prefix{}) && p.authority == outer.authority && strings.HasPrefix(p.path, outer.path)
}
