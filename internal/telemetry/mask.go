package telemetry

import (
	"bytes"
	"strings"
)

const masked = "[redacted]"

// mask returns line, in which slog has quoted every value that needs it, without
// what looks like a secret:
//
//   - base64url of a JSON object, such as a JSON Web Token or a part of one
//   - what follows Bearer or Basic, unless it is a word of prose or a parameter
//   - the userinfo, query and fragment of an absolute URL
//
// It returns line itself if there is nothing to mask. Where it cuts it never
// separates a backslash from what it escapes, so that quoting stays intact.
func mask(line []byte) []byte {
	var out []byte
	kept := 0   // line[:kept] is in out, masked
	urlEnd := 0 // end of the URL that i is in, if it is
	cut := func(from, to int) {
		out = append(append(out, line[kept:from]...), masked...)
		kept = to
	}
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case 'e':
			if n := jsonObject(line[i:]); n > 0 {
				cut(i, i+n)
				i += n - 1
			}
		case ' ':
			if from, to := credential(line, i); to > from {
				cut(from, to)
				i = to - 1
			}
		case ':':
			if !bytes.HasPrefix(line[i:], []byte("://")) {
				continue
			}
			if i >= urlEnd { // once per URL: one may be made of "://" alone
				urlEnd = i + until(line[i:], "")
			}
			if n := userinfo(line[i+3:]); n > 0 {
				cut(i+3, i+3+n)
				i += 2 + n
			}
		case '?', '#':
			if i+1 < urlEnd {
				cut(i+1, urlEnd)
				i = urlEnd - 1
			}
		}
	}
	if out == nil {
		return line
	}
	return append(out, line[kept:]...)
}

// jsonObject returns the length of the base64url of a JSON object that b
// begins with, with the parts of a token that follow it, or 0.
func jsonObject(b []byte) int {
	if !bytes.HasPrefix(b, []byte("eyJ")) { // {"
		return 0
	}
	n := span(b, func(c byte) bool { return alphanumeric(c) || c == '-' || c == '_' || c == '.' })
	if n < 16 {
		return 0
	}
	return n
}

// credential returns where in line the credential lies that follows the
// authentication scheme before the space at i, or two equal offsets.
func credential(line []byte, i int) (from, to int) {
	if !endsInFold(line[:i], "bearer") && !endsInFold(line[:i], "basic") {
		return 0, 0
	}
	from = i + span(line[i:], func(c byte) bool { return c == ' ' })
	// token68 of RFC 9110
	n := span(line[from:], func(c byte) bool { return alphanumeric(c) || strings.IndexByte("-._~+/=", c) >= 0 })
	word := span(line[from:], func(c byte) bool { return 'a' <= c && c <= 'z' || c == '_' })
	rest := line[from+n:]
	switch {
	case word == n: // prose: "the bearer token was refused"
		return 0, 0
	case word == n-1 && line[from+word] == '=' && (bytes.HasPrefix(rest, []byte(`"`)) || bytes.HasPrefix(rest, []byte(`\"`))):
		return 0, 0 // a challenge: Bearer realm="x"
	}
	return from, from + n
}

// userinfo returns the length of the userinfo that b, what follows "://" in a
// URL, begins with, or 0. Its end is the last @: passwords are not always
// escaped.
func userinfo(b []byte) int {
	return max(0, bytes.LastIndexByte(b[:until(b, "/?#")], '@'))
}

// until returns the length of b up to a space, the end of the quoting that
// slog added, or one of stops. Quotes that were there before it, now escaped,
// do not count: a URL may have them.
func until(b []byte, stops string) int {
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c <= ' ', c == '"', strings.IndexByte(stops, c) >= 0:
			return i
		case c == '\\' && i+1 < len(b) && b[i+1] > ' ':
			i++
		}
	}
	return len(b)
}

func span(b []byte, in func(byte) bool) int {
	for i, c := range b {
		if !in(c) {
			return i
		}
	}
	return len(b)
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

func endsInFold(b []byte, suffix string) bool {
	return len(b) >= len(suffix) && bytes.EqualFold(b[len(b)-len(suffix):], []byte(suffix))
}
