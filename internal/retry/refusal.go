package retry

import (
	"net/http"

	"github.com/injectproxy/injectproxy/internal/challenge"
)

// refusal reports whether resp refuses the token, and returns the claims that
// it asks for: every 401 does, and a 403 that says so.
func refusal(resp *http.Response) (claims string, refused bool) {
	if resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusForbidden {
		return "", false
	}
	claims, invalid := challenge.Read(resp.Header["Www-Authenticate"])
	return claims, invalid || claims != "" || resp.StatusCode == http.StatusUnauthorized
}
