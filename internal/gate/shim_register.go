package gate

import (
	"encoding/json"
	"net/http"
)

// maxRedirects is how many redirect URIs one client may name.
const maxRedirects = 32

// registration is what the shim reads and says of a client (RFC 7591).
type registration struct {
	Client        string   `json:"client_id"`
	Redirects     []string `json:"redirect_uris"`
	TokenAuth     string   `json:"token_endpoint_auth_method"`
	Grants        []string `json:"grant_types"`
	ResponseTypes []string `json:"response_types"`
}

// register answers every registration with the one client that Entra knows, and
// has nothing to remember: that client has no secret, and Entra sends codes to
// its own redirect URIs alone, whatever is named here.
func (g *Gate) register(x *exchange) {
	if !x.open(http.MethodPost) {
		return
	}
	b, e := x.posted("application/json")
	if e != nil {
		e.Code = "invalid_client_metadata"
		x.refuseOAuth(e)
		return
	}
	var asked struct {
		Redirects []string `json:"redirect_uris"`
	}
	if json.Unmarshal(b, &asked) != nil {
		x.refuseOAuth(badRequest("invalid_client_metadata", "the body is not client metadata"))
		return
	}
	if !areRedirects(asked.Redirects) {
		x.refuseOAuth(badRequest("invalid_redirect_uri", "redirect_uris has to name https URLs, http URLs of this machine or such of an application's scheme"))
		return
	}
	body, err := json.Marshal(registration{
		Client:        g.o.Shim.Client,
		Redirects:     asked.Redirects,
		TokenAuth:     "none",
		Grants:        []string{"authorization_code", "refresh_token"},
		ResponseTypes: []string{"code"},
	})
	if err != nil { // strings always marshal
		panic(err)
	}
	x.answerJSON(http.StatusCreated, body)
}

func areRedirects(all []string) bool {
	for _, s := range all {
		if !isRedirect(s) {
			return false
		}
	}
	return len(all) > 0 && len(all) <= maxRedirects
}
