package gate

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ambiguous reports whether a server might take a URI for another one by the rules
// for URIs (RFC 3986, section 6; the URL standard), other than by what [aliases]
// knows: what is left of file:///public/../private is not what file:///public/*
// means, and file:///%73ecret is what file:///secret means. It is asked of what is
// left by each decoding, too. Templates have nothing of that.
func ambiguous(uri string) bool {
	for range mostDecoded {
		if climbs(uri) || misspelt(uri) {
			return true
		}
		decoded := unescape(uri, func(c byte) bool { return true })
		if decoded == uri {
			return false
		}
		uri = decoded
	}
	return true // nobody encodes that often in earnest
}

const mostDecoded = 4

// climbs reports whether a server might find dot segments in a URI, or a line.
func climbs(uri string) bool {
	segments := strings.FieldsFunc(uri, func(c rune) bool { return strings.ContainsRune(`/\:?#;`, c) })
	return slices.Contains(segments, "..") || slices.Contains(segments, ".") || strings.ContainsFunc(uri, control)
}

func control(c rune) bool { return c < ' ' || c == 0x7f }

// misspelt reports whether parsers of URLs make another spelling of a URI.
func misspelt(uri string) bool {
	encoded := false
	unescape(uri, func(c byte) bool { encoded = encoded || unreserved(c); return true })
	if encoded || !utf8.ValidString(uri) || strings.ContainsRune(uri, '\\') || strings.TrimFunc(uri, blank) != uri {
		return true
	}
	scheme, rest, ok := strings.Cut(uri, ":")
	if !ok || strings.Contains(scheme, "{") {
		return false
	}
	return scheme != strings.ToLower(scheme) || misplaced(scheme, rest)
}

func blank(r rune) bool { return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) }

// unreserved reports whether c never needs to be encoded.
func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// misplaced reports whether a URI has slashes, or a host, as parsers mend them.
func misplaced(scheme, rest string) bool {
	rest, _, _ = cutAny(rest, "?#")
	after, has := strings.CutPrefix(rest, "//")
	host, path, _ := strings.Cut(after, "/")
	if !has {
		host, path = "", strings.TrimPrefix(rest, "/")
	}
	if strings.HasPrefix(path, "/") || strings.Contains(path, "//") || !has && strings.HasPrefix(rest, "/") {
		return true
	}
	switch scheme {
	case "file":
		return !has || strings.Contains(rest, "|")
	case "http", "https", "ws", "wss", "ftp":
		return !has || misnamed(host)
	}
	return false
}

// misnamed reports whether the host of a URL is one that parsers rewrite.
func misnamed(host string) bool {
	_, port, _ := strings.Cut(host[strings.LastIndexByte(host, '@')+1:], "]")
	if host = host[strings.LastIndexByte(host, '@')+1:]; !strings.HasPrefix(host, "[") {
		host, port, _ = strings.Cut(host, ":")
		port = ":" + port
	}
	if host == "" || strings.HasPrefix(port, ":0") || strings.ContainsFunc(host, func(r rune) bool { return r > unicode.MaxASCII || r == '%' }) {
		return true
	}
	last := host[strings.LastIndexByte(strings.TrimSuffix(host, "."), '.')+1:]
	if host[0] == '[' || last[0] < '0' || last[0] > '9' {
		return false
	}
	a, err := netip.ParseAddr(host)
	return err != nil || a.String() != host
}

// cutAny cuts s before the first of the characters.
func cutAny(s, chars string) (before, after string, found bool) {
	if i := strings.IndexAny(s, chars); i >= 0 {
		return s[:i], s[i:], true
	}
	return s, "", false
}

// unescape decodes once each %XX of a byte that may be, and leaves what is none.
func unescape(s string, may func(byte) bool) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c, skip := s[i], 0
		if c == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil && may(byte(n)) {
				c, skip = byte(n), 2
			}
		}
		b.WriteByte(c)
		i += skip
	}
	return b.String()
}
