package retry

import "encoding/base64"

// Spellings are the ways in which servers write a claims challenge.
func Spellings(claims string) []string {
	std := base64.StdEncoding.EncodeToString([]byte(claims))
	url := base64.URLEncoding.EncodeToString([]byte(claims))
	rawStd := base64.RawStdEncoding.EncodeToString([]byte(claims))
	rawURL := base64.RawURLEncoding.EncodeToString([]byte(claims))
	return []string{
		`Bearer realm="", authorization_uri="https://login.example/common/oauth2/authorize", error="insufficient_claims", claims="` + std + `"`,
		`Bearer claims="` + rawStd + `", error="insufficient_claims"`,
		`bearer claims="` + url + `"`,
		`BEARER Claims="` + rawURL + `"`,
		`Bearer claims=` + std + `, error=insufficient_claims`,
		`Bearer claims=` + rawURL,
		`Basic realm="x, y", PoP nonce="a\"b", Bearer error = "insufficient_claims" , claims = "` + rawURL + `"`,
	}
}
