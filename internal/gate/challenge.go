package gate

import (
	"strings"
)

// The errors of a challenge (RFC 6750, section 3.1).
const (
	invalidRequest    = "invalid_request"
	invalidToken      = "invalid_token"
	insufficientScope = "insufficient_scope"
)

// challenge is the value of WWW-Authenticate that sends a client to where it
// gets a token for the route, with those scopes: bare names, any number. Code
// and description are left out if they are empty, as they have to be towards who
// showed no token (RFC 6750, section 3.1).
//
// What it says comes from the configuration and from here. Nothing of a request
// goes into a header of its answer.
func (g *Gate) challenge(r *route, code, description string, scopes []string) string {
	params := []string{
		param("error", code),
		param("error_description", description),
		param("resource_metadata", g.metadataURL(r)),
		param("scope", strings.Join(g.full(scopes), " ")),
	}
	var said []string
	for _, p := range params {
		if p != "" {
			said = append(said, p)
		}
	}
	return "Bearer " + strings.Join(said, ", ")
}

// param is one parameter of a challenge, "" without a value. Bytes that a quoted
// string may not have, or not without an escape that not every client reads,
// become a space.
func param(name, value string) string {
	if value == "" {
		return ""
	}
	return name + `="` + strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' {
			return ' '
		}
		return r
	}, value) + `"`
}

// full are scopes as Entra and its clients name them: with the API that they are
// of.
func (g *Gate) full(scopes []string) []string {
	all := make([]string, len(scopes))
	for i, s := range scopes {
		all[i] = strings.TrimSuffix(g.o.AppIDURI, "/") + "/" + s
	}
	return all
}
