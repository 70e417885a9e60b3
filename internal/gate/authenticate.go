package gate

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/injectproxy/injectproxy/internal/verify"
)

// authenticate finds out whom the request comes from, and whether the route lets
// them in. A token counts in the header alone: anywhere else it would go on to
// the upstream.
func (g *Gate) authenticate(x *exchange) bool {
	credentials := x.r.Header["Authorization"]
	switch {
	case tokenInQuery(x.r.URL.RawQuery):
		x.refuse(g.malformed("An access token must not be in the query"))
	case len(credentials) > 1:
		x.refuse(g.malformed("There is more than one Authorization header"))
	case len(credentials) == 0:
		return g.anonymous(x, Optional, g.noToken(x.route))
	default:
		return g.identify(x, credentials[0])
	}
	return false
}

// identify has the one credential of the request verified.
func (g *Gate) identify(x *exchange, credential string) bool {
	scheme, token, _ := strings.Cut(credential, " ")
	token = strings.TrimLeft(token, " ")
	switch {
	case !strings.EqualFold(scheme, "Bearer"): // somebody, but nobody that we know
		return g.anonymous(x, Permissive, g.noToken(x.route))
	case !isToken68(token):
		x.seen.Invalid = verify.Malformed
		return g.anonymous(x, Permissive, g.malformed("The Authorization header holds no token"))
	case holds(x.r.RequestURI, shown(x.r.Header)):
		x.refuse(g.malformed("The access token must be in the Authorization header alone"))
		return false
	}
	caller, err := g.o.Verify(x.r.Context(), token)
	invalid := (*verify.Invalid)(nil)
	switch {
	case errors.As(err, &invalid):
		x.seen.Invalid = invalid.Reason
		return g.anonymous(x, Permissive, g.invalid(x.route, invalid))
	case err != nil: // it may be a good one: nobody becomes anonymous by an outage
		x.refuse(unverifiable())
		return false
	}
	x.caller, x.seen.Caller = caller, caller
	if x.route.OnBehalfOf != nil {
		x.assertion = token
	}
	return g.admit(x)
}

// anonymous lets the request in without a caller if the route is of that mode or
// a more lenient one.
func (g *Gate) anonymous(x *exchange, from Mode, no answer) bool {
	if x.route.Mode < from {
		x.refuse(no)
		return false
	}
	x.seen.Anonymous = true
	return true
}

func (g *Gate) noToken(r *route) answer {
	return answer{
		status: http.StatusUnauthorized, kind: "no-token", denied: deniedNoToken,
		title:     "An access token is needed",
		hint:      "The WWW-Authenticate header says where to get one",
		challenge: g.challenge(r, "", "", r.Scopes),
	}
}

func (g *Gate) invalid(r *route, why *verify.Invalid) answer {
	return answer{
		status: http.StatusUnauthorized, kind: "invalid-token", denied: deniedInvalidToken,
		title: "The access token is not valid", detail: why.Description,
		challenge: g.challenge(r, invalidToken, why.Description, r.Scopes),
	}
}

// malformed has no metadata and no scope in its challenge: no other token helps.
func (g *Gate) malformed(what string) answer {
	return answer{
		status: http.StatusBadRequest, kind: "malformed-credentials", denied: deniedInvalidToken,
		title: "The request's credentials cannot be read", detail: what,
		hint:      "Send one header: Authorization: Bearer and the token",
		challenge: "Bearer " + param("error", invalidRequest) + ", " + param("error_description", what),
	}
}

func unverifiable() answer {
	return answer{
		status: http.StatusServiceUnavailable, kind: "unverifiable", denied: deniedUnverifiable,
		title: "Access tokens cannot be verified at the moment", retryAfter: time.Second,
		hint: "The keys of Microsoft Entra ID could not be fetched: try again",
	}
}

// isToken68 reports whether s is what may follow the scheme (RFC 6750, section
// 2.1). Nothing else reaches the verifier.
func isToken68(s string) bool {
	s = strings.TrimRight(s, "=")
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~+/", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}

// tokenInQuery reports whether some reader of the query would find a parameter
// access_token (RFC 6750, section 2.3) in it. Some split at semicolons, some do not
// mind the case, some decode twice, and some make an underscore of a dot or a blank,
// a list of what has a bracket behind, or end a name at NUL.
func tokenInQuery(query string) bool {
	for pair := range strings.FieldsFuncSeq(query, func(r rune) bool { return r == '&' || r == ';' }) {
		name, _, _ := strings.Cut(pair, "=")
		for range 2 {
			if plain, err := url.QueryUnescape(name); err == nil {
				name = plain
			}
		}
		if i := strings.IndexAny(name, "[\x00"); i >= 0 {
			name = name[:i]
		}
		name = strings.NewReplacer(".", "_", " ", "_").Replace(strings.TrimSpace(name))
		if strings.EqualFold(name, "access_token") {
			return true
		}
	}
	return false
}

// shortest is the length from which on a credential is looked for elsewhere. Tokens
// of Entra are a hundred times as long; a shorter one would be found by chance.
const shortest = 16

// shown is the credential that a request with header h shows, "" if it is too short
// to be told from other text.
func shown(h http.Header) string {
	_, token, _ := strings.Cut(h.Get("Authorization"), " ")
	if token = strings.Trim(token, " "); len(token) < shortest {
		return ""
	}
	return token
}

// holds reports whether token, unless it is empty, is in s, as it is or encoded as
// in a URL.
func holds(s, token string) bool {
	if token == "" {
		return false
	}
	plain, err := url.PathUnescape(s)
	return strings.Contains(s, token) || err == nil && strings.Contains(plain, token)
}
