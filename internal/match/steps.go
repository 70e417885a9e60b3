package match

import "strings"

// steps are the things that servers and the proxies before them do to a path,
// in any order and any number of times. Nothing is decoded as a whole, because
// not all decode the same bytes: WHATWG URLs take %2e for a dot and touch
// nothing else, Apache's NoDecode and Go's per-segment decoding take an encoded
// slash for part of a name, Envoy can decode slashes alone. Which of them was
// at work decides how many segments a dot segment has above it.
//
// What a file system does to a name is not among them: one that ignores case,
// drops dots at the end or composes accents makes two names of one folder, which
// rules with prefixes on such a server have to allow for.
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
