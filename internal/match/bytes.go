package match

import "strings"

// Classes of bytes, for [unescape]. The last three share out all bytes among
// them.

func every(byte) bool { return true }

func slash(c byte) bool { return c == '/' }

func reserved(c byte) bool { return c != '/' && !unreserved(c) }

// unreserved is the class of RFC 3986 section 2.3, which normalisers decode.
func unreserved(c byte) bool {
	return alphanumeric(c) || c == '-' || c == '.' || c == '_' || c == '~'
}

func alphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

func control(c byte) bool { return c < ' ' || c == 0x7f }

// unhex returns the value of a hexadecimal digit, or -1.
func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// triplet returns the byte that the percent escape at s[i:] stands for.
func triplet(s string, i int) (c byte, ok bool) {
	if s[i] != '%' || i+2 >= len(s) {
		return 0, false
	}
	high, low := unhex(s[i+1]), unhex(s[i+2])
	if high < 0 || low < 0 {
		return 0, false
	}
	return byte(high<<4 | low), true
}

// unescape decodes, once, the escapes of the bytes in class and leaves all
// else alone, malformed escapes included.
func unescape(s string, class func(byte) bool) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if c, ok := triplet(s, i); ok && class(c) {
			out = append(out, c)
			i += 2
			continue
		}
		out = append(out, s[i])
	}
	return string(out)
}

// fold returns path in the form in which it is compared with a decoded prefix.
// An escape stands for its byte, since most bytes have no other form on the
// wire, with two exceptions: a slash inside a segment does not end it, and an
// unreserved character has no need of an escape, so that servers which route
// on what is written do not find it under the prefix.
func fold(path string) string {
	return unescape(path, reserved)
}

// escape encodes a decoded path for a URL.
func escape(path string) string {
	const hex = "0123456789ABCDEF"
	var out strings.Builder
	for i := range len(path) {
		if c := path[i]; c == '/' || ordinary[c] {
			out.WriteByte(c)
		} else {
			out.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return out.String()
}

// ordinary marks the bytes that a segment may have and that all servers read
// alike: pchar of RFC 3986 without the percent sign.
var ordinary = func() (set [256]bool) {
	for c := range len(set) {
		set[c] = unreserved(byte(c)) || strings.IndexByte("!$&'()*+,=:@", byte(c)) >= 0
	}
	return set
}()

// plain reports whether path has one reading only: ordinary bytes, no empty
// segment, no dot segment.
func plain(path string) bool {
	if path == "" || path[0] != '/' {
		return false
	}
	start := 1 // of the segment
	for i := 1; i < len(path); i++ {
		c := path[i]
		if ordinary[c] {
			continue
		}
		if c != '/' || i == start || dots(path[start:i]) {
			return false
		}
		start = i + 1
	}
	return !dots(path[start:])
}

func dots(segment string) bool { return segment == "." || segment == ".." }
