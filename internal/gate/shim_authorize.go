package gate

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// authorizeParameters are what Entra is sent of a request for a code. The resource
// parameter (RFC 8707), which Entra refuses, is none of them.
var authorizeParameters = []string{
	"client_id", "response_type", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method",
	"nonce", "prompt", "login_hint", "domain_hint", "response_mode", "claims",
}

// authorize sends the browser to Entra with what it came with of
// authorizeParameters, and a scope, which Entra wants. It sends
// the browser nowhere else: what is wrong is said here, never at a redirect URI,
// since none of them is known to be the client's.
func (g *Gate) authorize(x *exchange) {
	if x.r.Method != http.MethodGet && x.r.Method != http.MethodHead {
		x.refuseMethod("GET, HEAD")
		return
	}
	query, e := parameters(x.r.URL.RawQuery)
	if e == nil {
		e = g.checkAuthorization(query)
	}
	if e == nil {
		query, e = only(query, authorizeParameters)
	}
	if e != nil {
		x.refuseOAuth(e)
		return
	}
	query.Set("scope", g.scopeFor(query.Get("scope")))
	h := x.w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Location", g.entra("/oauth2/v2.0/authorize")+"?"+query.Encode())
	x.w.WriteHeader(http.StatusFound)
}

// checkAuthorization insists on what makes a stolen code worthless: a challenge
// of S256 (RFC 7636), which Entra leaves to the client.
func (g *Gate) checkAuthorization(query url.Values) *oauthError {
	switch {
	case !strings.EqualFold(query.Get("client_id"), g.o.Shim.Client):
		return badRequest("unauthorized_client", "client_id is not the one that registration gives")
	case query.Get("response_type") != "code":
		return badRequest("unsupported_response_type", "response_type has to be code")
	case query.Get("code_challenge_method") != "S256" || !isChallenge(query.Get("code_challenge")):
		return badRequest(invalidRequest, "a code_challenge is needed, and S256 as code_challenge_method")
	case !isRedirect(query.Get("redirect_uri")):
		return badRequest(invalidRequest, "redirect_uri is not one that may be used")
	}
	return nil
}

// scopeFor is what Entra is asked for: what the client asks for, or else the
// scopes of all routes, with a refresh token, so that people need not sign in
// every hour.
func (g *Gate) scopeFor(asked string) string {
	all := strings.Fields(asked)
	if len(all) == 0 {
		all = append(g.full(g.scopes()), "openid", "profile")
	}
	if !slices.Contains(all, "offline_access") {
		all = append(all, "offline_access")
	}
	return strings.Join(all, " ")
}

// parameters reads the parameters of a request to an authorization server, none
// of which may occur twice (RFC 6749, section 3.1), but for resource.
func parameters(encoded string) (url.Values, *oauthError) {
	values, err := url.ParseQuery(encoded)
	if err != nil {
		return nil, badRequest(invalidRequest, "the parameters cannot be read")
	}
	for name, all := range values {
		if len(all) > 1 && name != "resource" {
			return nil, badRequest(invalidRequest, "a parameter occurs twice")
		}
	}
	return values, nil
}

// only returns what values has under these names. Others are ignored (RFC 6749,
// section 3.1) by not being sent: nobody has judged them, and Entra may know them.
// One that differs from these in its case alone could be either, and is refused.
func only(values url.Values, names []string) (url.Values, *oauthError) {
	kept := make(url.Values, len(names))
	for name, all := range values {
		switch {
		case slices.Contains(names, name):
			kept[name] = all
		case slices.Contains(names, strings.ToLower(name)):
			return nil, badRequest(invalidRequest, "the name of a parameter is not in lower case")
		}
	}
	return kept, nil
}

// isChallenge reports whether s is the SHA-256 of something in base64url.
func isChallenge(s string) bool {
	return len(s) == 43 && isToken68(s) && !strings.ContainsAny(s, "=+/.~")
}

// isRedirect reports whether a code may be sent there: to https, to this
// machine, or to an application by a scheme of its own. Which of them are the
// client's Entra knows.
func isRedirect(s string) bool {
	u, err := url.Parse(s)
	if err != nil || len(s) > 2<<10 || u.Fragment != "" || strings.Contains(s, "#") || u.User != nil {
		return false
	}
	switch u.Scheme {
	case "https":
		return u.Hostname() != ""
	case "http":
		return slices.Contains([]string{"localhost", "127.0.0.1", "::1"}, u.Hostname())
	case "", "about", "blob", "data", "file", "filesystem", "ftp", "javascript", "vbscript", "view-source", "ws", "wss":
		return false
	}
	return true
}
