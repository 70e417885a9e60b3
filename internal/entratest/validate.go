package entratest

import (
	"errors"
	"fmt"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// ErrRevoked is what [Authority.Validate] reports for a token that was
// revoked and is valid otherwise.
var ErrRevoked = errors.New("token revoked")

// Validate checks a bearer token the way a protected API does: signature by
// a published key, issuer, time, audience, and that it was not revoked. An
// audience that names a registered resource stands for all its names; any
// other has to be the token's. The claims are the token's, as JSON decodes
// them.
func (a *Authority) Validate(bearer, audience string) (map[string]any, error) {
	var claims jwt.MapClaims
	_, err := jwt.ParseWithClaims(bearer, &claims, func(t *jwt.Token) (any, error) { return a.verificationKey(t, claims) },
		jwt.WithValidMethods([]string{"RS256"}), jwt.WithTimeFunc(a.now), jwt.WithExpirationRequired())
	if err != nil {
		return nil, err
	}
	tenant, _ := claims["tid"].(string)
	issuer, _ := claims.GetIssuer()
	if !a.hasTenant(tenant) || issuer != a.issuer(tenant) && issuer != issuerV1(tenant) {
		return nil, fmt.Errorf("%w: %q of tenant %q", jwt.ErrTokenInvalidIssuer, issuer, tenant)
	}
	// A list of audiences is legal JWT, but no Entra token has one.
	if got, _ := claims["aud"].(string); !a.sameAudience(got, audience) {
		return nil, fmt.Errorf("%w: %q, want %q", jwt.ErrTokenInvalidAudience, got, audience)
	}
	if a.ledger.isRevoked(bearer) {
		return nil, ErrRevoked
	}
	return claims, nil
}

func (a *Authority) verificationKey(t *jwt.Token, claims jwt.MapClaims) (any, error) {
	tenant, _ := claims["tid"].(string)
	id, _ := t.Header["kid"].(string)
	if key := a.keys.public(strings.ToLower(tenant), id); key != nil {
		return key, nil
	}
	return nil, fmt.Errorf("no published key has the id %q", id)
}

func (a *Authority) sameAudience(got, want string) bool {
	if got == "" {
		return false
	}
	if r := a.findResource(want); r != nil {
		return a.findResource(got) == r
	}
	return got == want
}

// Revoke makes Validate refuse these tokens. They stay in caches, and
// [Authority.ReplayTokens] still hands them out.
func (a *Authority) Revoke(tokens ...string) { a.ledger.revoke(tokens) }

// RevokeAll revokes every token issued so far.
func (a *Authority) RevokeAll() { a.ledger.revokeAll() }
