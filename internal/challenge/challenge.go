// Package challenge reads how servers refuse an access token: the claims that
// another one has to prove, in whatever spelling they are asked for.
//
// Its input is whatever a server sends. What it returns is a JSON object of bounded
// size, or nothing.
package challenge

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// mostClaims bounds the claims of a challenge, decoded. They go to an identity
// service, perhaps as an argument of a program.
const mostClaims = 16 << 10

// Read reads the parameters of all challenges in values, those of WWW-Authenticate
// (RFC 9110 section 11.6.1), whatever their scheme: the first claims that decode, a
// JSON object of at most 16 KiB or "", and whether one of them says
// error="invalid_token" (RFC 6750). Parameters are found wherever they stand outside
// quotes, because servers are careless with commas and quotes.
func Read(values []string) (claims string, invalid bool) {
	for _, rest := range values {
		for rest != "" {
			var name, value string
			name, value, rest = parameter(rest)
			switch {
			case strings.EqualFold(name, "error"):
				invalid = invalid || value == "invalid_token"
			case claims == "" && strings.EqualFold(name, "claims"):
				claims = decodeClaims(value)
			}
		}
	}
	return claims, invalid
}

// parameter takes the next name and value off s. What is no parameter, such as
// a scheme, has no value.
func parameter(s string) (name, value, rest string) {
	if s[0] == '"' {
		_, rest = quoted(s)
		return "", "", rest
	}
	end := strings.IndexAny(s, " \t,=\"")
	switch {
	case end < 0:
		return s, "", ""
	case end == 0:
		return "", "", s[1:]
	}
	name, rest = s[:end], strings.TrimLeft(s[end:], " \t")
	if !strings.HasPrefix(rest, "=") {
		return name, "", rest
	}
	rest = strings.TrimLeft(rest[1:], " \t")
	if strings.HasPrefix(rest, `"`) {
		value, rest = quoted(rest)
		return name, value, rest
	}
	end = strings.IndexAny(rest, " \t,")
	if end < 0 {
		end = len(rest)
	}
	return name, rest[:end], rest[end:]
}

// quoted takes a quoted-string off s, which begins with one. One that does not
// end has no value.
func quoted(s string) (value, rest string) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:]
		case '\\':
			i++
			if i == len(s) {
				return "", ""
			}
		}
		b.WriteByte(s[i])
	}
	return "", ""
}

var standardAlphabet = strings.NewReplacer("-", "+", "_", "/")

// decodeClaims returns the JSON object that value encodes, in base64 or
// base64url, padded or not, or "".
func decodeClaims(value string) string {
	if len(value) > base64.StdEncoding.EncodedLen(mostClaims) {
		return ""
	}
	value = strings.TrimRight(standardAlphabet.Replace(value), "=")
	decoded, err := base64.RawStdEncoding.DecodeString(value)
	if err != nil || !json.Valid(decoded) || !utf8.Valid(decoded) {
		return ""
	}
	object := strings.Trim(string(decoded), " \t\r\n")
	if !strings.HasPrefix(object, "{") {
		return ""
	}
	return object
}
