package match

import (
	"strings"
	"unicode/utf8"
)

const (
	maxRounds = 4       // of percent-decoding; more is no honest path
	maxPath   = 8 << 10 // bytes of a path that is not plain
	maxWork   = 1 << 18 // bytes of all its readings
)

// steps are the things that servers and the proxies before them do to a path,
// in any order and any number of times. Nothing is decoded as a whole, because
// not all decode the same bytes: WHATWG URLs take %2e for a dot and touch
// nothing else, Apache's NoDecode and Go's per-segment decoding take an encoded
// slash for part of a name, Envoy can decode slashes alone. Which of them was
// at work decides how many segments a dot segment has above it.
//
// No step makes a path longer or begins it with anything but a slash, and none
// makes an escape out of bytes that were apart: what [readable] finds on the
// way of full decoding holds for all other ways.
var steps = [...]func(string) string{
	removeDots,
	backslashes,
	dropParameters,
	mergeSlashes,
	func(s string) string { return unescape(s, unreserved) },
	func(s string) string { return unescape(s, slash) },
	func(s string) string { return unescape(s, reserved) },
	cutQuery,
	cutHost,
}

// agree visits every reading of rawPath, each once, the path as it is written
// among them. It returns Matched if same held for all of them, Ambiguous if
// not, and another reason if the path cannot be read at all.
//
// Readings are found by applying the steps to what they yield until nothing
// new comes, so that no order of them is forgotten.
func agree(rawPath string, same func(reading string) bool) Reason {
	if rawPath == "" {
		rawPath = "/" // RFC 9110 section 4.2.3
	}
	if reason := readable(rawPath); reason != Matched {
		return reason
	}
	seen := map[string]bool{rawPath: true}
	queue := []string{rawPath}
	work := len(rawPath)
	for len(queue) > 0 {
		reading := queue[0]
		queue = queue[1:]
		if !same(reading) {
			return Ambiguous
		}
		for _, step := range steps {
			next := step(reading)
			if seen[next] {
				continue
			}
			if work += len(next); work > maxWork {
				return TooLong
			}
			seen[next] = true
			queue = append(queue, next)
		}
	}
	return Matched
}

// readable returns Matched if rawPath can be decoded until nothing is left to
// decode, without meeting a byte or an escape that servers treat in ways of
// their own.
func readable(rawPath string) Reason {
	if rawPath[0] != '/' || strings.ContainsAny(rawPath, "?# ") {
		return Undecodable
	}
	if len(rawPath) > maxPath {
		return TooLong
	}
	path := rawPath
	for round := 0; ; round++ {
		if strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f }) || !utf8.ValidString(path) {
			return Undecodable
		}
		ok, more := decodable(path, round == 0)
		switch {
		case !ok:
			return Undecodable
		case !more:
			return Matched
		case round == maxRounds:
			return TooDeep
		}
		path = unescape(path, every)
	}
}

// decodable reports whether servers decode path in the same way, and whether
// there is anything to decode. On the wire each percent sign begins an escape.
// Later a lone one is a character like any other ("100%25" is a fine name), but
// beside something that still decodes, some servers fail and some go on. The
// form %uXXXX is decoded by some and has never been a standard.
func decodable(path string, wire bool) (ok, more bool) {
	lone := false
	for i := range len(path) {
		if path[i] != '%' {
			continue
		}
		if _, ok := triplet(path, i); ok {
			more = true
		} else if lone = true; utf16Escape(path[i:]) {
			return false, more
		}
	}
	return !lone || !wire && !more, more
}

func utf16Escape(s string) bool {
	if len(s) < 6 || s[1]|0x20 != 'u' {
		return false
	}
	for i := 2; i < 6; i++ {
		if unhex(s[i]) < 0 {
			return false
		}
	}
	return true
}

// removeDots removes dot segments and leaves empty ones alone, as RFC 3986
// section 5.2.4 does; a slash that it would leave at the end is of no account
// here.
func removeDots(path string) string {
	if !strings.Contains(path, "/.") {
		return path
	}
	segments := strings.Split(path[1:], "/")
	kept := segments[:0]
	for _, segment := range segments {
		switch {
		case !dots(segment):
			kept = append(kept, segment)
		case segment == ".." && len(kept) > 0:
			kept = kept[:len(kept)-1]
		}
	}
	return "/" + strings.Join(kept, "/")
}

func backslashes(path string) string { return strings.ReplaceAll(path, `\`, "/") }

// dropParameters removes ";name=value" from each segment, as servlet
// containers do before they look for dot segments.
func dropParameters(path string) string {
	if strings.IndexByte(path, ';') < 0 {
		return path
	}
	out := make([]byte, 0, len(path))
	dropping := false
	for i := range len(path) {
		dropping = path[i] == ';' || dropping && path[i] != '/'
		if !dropping {
			out = append(out, path[i])
		}
	}
	return string(out)
}

func mergeSlashes(path string) string {
	if !strings.Contains(path, "//") {
		return path
	}
	out := make([]byte, 0, len(path))
	for i := range len(path) {
		if path[i] != '/' || i == 0 || path[i-1] != '/' {
			out = append(out, path[i])
		}
	}
	return string(out)
}

// cutQuery ends the path at a question mark or a hash that decoding brought
// up, as programs do that parse a decoded path as a URL once more.
func cutQuery(path string) string {
	if i := strings.IndexAny(path, "?#"); i >= 0 {
		return path[:i]
	}
	return path
}

// cutHost takes "//name/path" for a URL without its scheme, as WHATWG's
// parser does with any number of slashes.
func cutHost(path string) string {
	if !strings.HasPrefix(path, "//") {
		return path
	}
	rest := strings.TrimLeft(path, "/")
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		return rest[i:]
	}
	return "/"
}
