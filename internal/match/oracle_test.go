package match_test

import (
	"net/url"
	"path"
	"regexp"
	"strings"
)

// The oracle knows nothing of readings and steps. It has models of servers and
// of proxies, each a function from the path that arrives to the path that is
// served or passed on, and sends a request through every chain of four.

var (
	encodedDot       = regexp.MustCompile(`(?i)%2e`)
	encodedSeparator = regexp.MustCompile(`(?i)%2f|%5c`)
	doubleSlash      = regexp.MustCompile(`/+`)
	parameter        = regexp.MustCompile(`;[^/]*`)
	query            = regexp.MustCompile(`[?#].*`)
	networkPath      = regexp.MustCompile(`^//+[^/]*`)
	overlong         = regexp.MustCompile(`(?i)%c[01]%[89ab][0-9a-f]|%e0%8[01]%[89ab][0-9a-f]`)
	encodedUTF16     = regexp.MustCompile(`(?i)%u00[0-7][0-9a-f]`)
	nul              = regexp.MustCompile(`(?s)\x00.*`)
)

var servers = map[string]func(string) string{
	"ServeMux, nginx":           func(s string) string { return path.Clean(decode(s)) },
	"nginx, merge_slashes off":  func(s string) string { return climb(decode(s)) },
	"Apache, NoDecode":          func(s string) string { return path.Clean(decodeNames(s)) },
	"per segment, RFC 3986":     func(s string) string { return climb(decodeNames(s)) },
	"WHATWG URL":                whatwg,
	"WHATWG URL, two arguments": func(s string) string { return whatwg(networkPath.ReplaceAllString(flip(s), "")) },
	"IIS":                       func(s string) string { return path.Clean(flip(decode(s))) },
	"Tomcat":                    func(s string) string { return path.Clean(decode(parameter.ReplaceAllString(s, ""))) },
	"parameters after decoding": func(s string) string { return path.Clean(parameter.ReplaceAllString(decode(s), "")) },
	"Envoy, UNESCAPE": func(s string) string {
		return climb(flip(encodedSeparator.ReplaceAllStringFunc(s, decode)))
	},
	"merging proxy":        func(s string) string { return doubleSlash.ReplaceAllString(s, "/") },
	"parses twice":         func(s string) string { return path.Clean(query.ReplaceAllString(decode(s), "")) },
	"overlong UTF-8":       func(s string) string { return path.Clean(decode(overlong.ReplaceAllStringFunc(s, shorten))) },
	"IIS, %u":              func(s string) string { return path.Clean(flip(decode(encodedUTF16.ReplaceAllStringFunc(s, narrow)))) },
	"C, a string ends":     func(s string) string { return nul.ReplaceAllString(decode(s), "") },
	"router, decoded path": decode,
	"router, path as it is": func(s string) string {
		return s
	},
}

// shorten returns the character for an escaped sequence of UTF-8 that is longer
// than it need be.
func shorten(s string) string {
	b := decode(s)
	return string(rune(b[len(b)-2]&3)<<6 | rune(b[len(b)-1]&0x3f))
}

func narrow(s string) string { return decode("%" + s[4:]) }

func whatwg(s string) string { return climb(encodedDot.ReplaceAllString(flip(s), ".")) }

func flip(s string) string { return strings.ReplaceAll(s, `\`, "/") }

// decode returns s as it is where a server would refuse it.
func decode(s string) string {
	if decoded, err := url.PathUnescape(s); err == nil {
		return decoded
	}
	return s
}

func decodeNames(s string) string {
	return decode(strings.NewReplacer("%2f", "%252f", "%2F", "%252F").Replace(s))
}

// climb is RFC 3986 section 5.2.4 to the letter.
func climb(in string) (out string) {
	up := func() { out = out[:max(0, strings.LastIndexByte(out, '/'))] }
	for in != "" {
		switch {
		case strings.HasPrefix(in, "/./"):
			in = in[2:]
		case in == "/.":
			in = "/"
		case strings.HasPrefix(in, "/../"):
			in = in[3:]
			up()
		case in == "/..":
			in = "/"
			up()
		default:
			n := len(in)
			if i := strings.IndexByte(in[1:], '/'); i >= 0 {
				n = i + 1
			}
			out += in[:n]
			in = in[n:]
		}
	}
	return out
}

// served returns every path that some chain of servers makes of raw, with one
// chain that does.
func served(raw string) map[string][]string {
	if raw == "" {
		raw = "/" // a URL without a path
	}
	all := map[string][]string{raw: nil}
	last := []string{raw}
	for range 4 {
		var next []string
		for _, arrives := range last {
			for name, server := range servers {
				leaves := server(arrives)
				if _, known := all[leaves]; !known && strings.HasPrefix(leaves, "/") {
					all[leaves] = append(append([]string{}, all[arrives]...), name)
					next = append(next, leaves)
				}
			}
		}
		last = next
	}
	return all
}

// owner returns the index of the longest of the prefixes that path lies
// under, -1 for none.
func owner(prefixes []string, path string) int {
	found := -1
	for i, p := range prefixes {
		if (path == p || strings.HasPrefix(path, strings.TrimSuffix(p, "/")+"/")) && (found < 0 || len(p) > len(prefixes[found])) {
			found = i
		}
	}
	return found
}
