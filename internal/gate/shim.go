package gate

import (
	"net/http"
	"slices"
)

// The endpoints of the shim, those that clients of MCP 2025-03-26 take for
// granted.
const (
	authorizePath = "/authorize"
	tokenPath     = "/token"
	registerPath  = "/register"
)

// authorizationServer is the metadata of an authorization server (RFC 8414,
// section 2), and what OpenID Connect Discovery 1.0 wants beside it.
type authorizationServer struct {
	Issuer           string   `json:"issuer"`
	Authorization    string   `json:"authorization_endpoint"`
	Token            string   `json:"token_endpoint"`
	Registration     string   `json:"registration_endpoint"`
	Keys             string   `json:"jwks_uri"`
	Scopes           []string `json:"scopes_supported"`
	ResponseTypes    []string `json:"response_types_supported"`
	ResponseModes    []string `json:"response_modes_supported"`
	Grants           []string `json:"grant_types_supported"`
	TokenAuth        []string `json:"token_endpoint_auth_methods_supported"`
	ChallengeMethods []string `json:"code_challenge_methods_supported"`
	Subjects         []string `json:"subject_types_supported"`
	IDTokenSigning   []string `json:"id_token_signing_alg_values_supported"`
}

// shim answers what belongs to the authorization server that the gate stands in
// for. It has no say in what is granted: Entra knows the client, its redirect
// URIs and the user, and whatever passes here could have been sent to Entra in the
// first place. It only leaves out what Entra refuses, and says what Entra
// leaves out.
func (g *Gate) shim(x *exchange, path string) bool {
	switch path {
	case authorizePath:
		g.authorize(x)
	case tokenPath:
		g.token(x)
	case registerPath:
		g.register(x)
	default:
		return g.serverMetadata(x, path)
	}
	return true
}

// serverMetadata answers at the root, and, since older clients look there, with
// the path of a route behind it. It is one document: there is one issuer.
func (g *Gate) serverMetadata(x *exchange, path string) bool {
	for _, known := range []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"} {
		suffix, ok := cutSegments(path, known)
		if ok && (suffix == "" || slices.ContainsFunc(g.routes, func(r *route) bool { return r.escaped() == suffix })) {
			x.publish(g.authorizationServer())
			return true
		}
	}
	return false
}

// authorizationServer leaves offline_access out of the scopes: a client that
// sees it there asks for it with prompt=consent, which many tenants do not let
// users answer. It is given in any case, see authorize.
func (g *Gate) authorizationServer() authorizationServer {
	at := g.publicURL()
	return authorizationServer{
		Issuer:           at,
		Authorization:    at + authorizePath,
		Token:            at + tokenPath,
		Registration:     at + registerPath,
		Keys:             g.entra("/discovery/v2.0/keys"),
		Scopes:           append(g.full(g.scopes()), "openid", "profile"),
		ResponseTypes:    []string{"code"},
		ResponseModes:    []string{"query"},
		Grants:           []string{"authorization_code", "refresh_token"},
		TokenAuth:        []string{"none"},
		ChallengeMethods: []string{"S256"},
		Subjects:         []string{"pairwise"},
		IDTokenSigning:   []string{"RS256"},
	}
}

// entra is an address of Entra's. Of several tenants people belong to any, and
// which of them are let in is decided by their tokens.
func (g *Gate) entra(path string) string {
	tenant := "organizations"
	if len(g.o.Tenants) == 1 {
		tenant = g.o.Tenants[0]
	}
	return g.o.Authority + "/" + tenant + path
}

// oauthError is the answer of an authorization server that refuses (RFC 6749,
// section 5.2).
type oauthError struct {
	status int

	Code        string `json:"error"`
	Description string `json:"error_description,omitempty"`
}

func badRequest(code, description string) *oauthError {
	return &oauthError{status: http.StatusBadRequest, Code: code, Description: description}
}
