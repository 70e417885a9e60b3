// Package challengetest has the ways in which servers write a claims challenge, for
// the tests of those who read it.
package challengetest

import "encoding/base64"

// Spelling is a way in which servers write a claims challenge.
type Spelling struct{ Name, Value string }

// Spellings are all of them.
func Spellings(claims string) []Spelling {
	std := base64.StdEncoding.EncodeToString([]byte(claims))
	url := base64.URLEncoding.EncodeToString([]byte(claims))
	rawStd := base64.RawStdEncoding.EncodeToString([]byte(claims))
	rawURL := base64.RawURLEncoding.EncodeToString([]byte(claims))
	return []Spelling{
		{"padded", `Bearer realm="", authorization_uri="https://login.example/common/oauth2/authorize", error="insufficient_claims", claims="` + std + `"`},
		{"unpadded", `Bearer claims="` + rawStd + `", error="insufficient_claims"`},
		{"base64url", `Bearer error="insufficient_claims", claims="` + rawURL + `"`},
		{"base64url, padded", `Bearer error="insufficient_claims", claims="` + url + `"`},
		{"unquoted", `Bearer claims=` + std + `, error=insufficient_claims`},
		{"unquoted, at the end", `Bearer claims=` + rawURL},
		{"lower-case scheme", `bearer claims="` + std + `"`},
		{"upper-case scheme", `BEARER Claims="` + rawURL + `"`},
		{"with invalid_token", `Bearer error="invalid_token", error_description="claims=none", claims="` + std + `"`},
		{"among several challenges", `Basic realm="x, y", PoP nonce="a\"b", Bearer error = "insufficient_claims" , claims = "` + rawURL + `", Negotiate`},
	}
}
