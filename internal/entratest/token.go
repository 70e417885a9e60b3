package entratest

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

// Grant says whom a token is for. The zero value of a field gives the usual
// content.
type Grant struct {
	Tenant   string         // "" means the first
	Client   string         // client id of the application that asks
	Audience string         // resource: its id, api://<id> or another of its URIs
	User     *User          // nil means the application acts for itself
	Scopes   []string       // of a user's token; nil means all that the resource has
	Roles    []string       // of an application's token; nil means all that the resource has
	Claims   map[string]any // further claims; they replace, and nil removes, those of the same name
	Header   map[string]any // likewise of the header; the signature is RS256 whatever it says
}

// Issue returns a token without the detour over the token endpoint. The
// client need not be registered.
func (a *Authority) Issue(g Grant) (string, error) {
	if g.Tenant = strings.ToLower(orDefault(g.Tenant, a.tenants[0])); !a.hasTenant(g.Tenant) {
		return "", fmt.Errorf("simulated authority: no tenant %s", g.Tenant)
	}
	resource := a.findResource(g.Audience)
	if resource == nil {
		return "", fmt.Errorf("simulated authority: no resource %q", g.Audience)
	}
	t, err := a.newToken(g, resource)
	return t.value, err
}

// ReplayTokens turns the mode on or off in which a request gets the token that
// the last one like it got, as long as that has not expired: what az and
// every cache between a client and Entra do.
func (a *Authority) ReplayTokens(on bool) { a.ledger.replay(on) }

// issue returns a token for g, the one given out before if tokens are being
// replayed.
func (a *Authority) issue(g Grant, resource *Resource) (issued, error) {
	if t, ok := a.ledger.last(g.key(), a.now()); ok {
		return t, nil
	}
	return a.newToken(g, resource)
}

// key says which grants ask for the same token.
func (g Grant) key() string {
	var user User
	if g.User != nil {
		user = *g.User
	}
	return fmt.Sprintf("%q", []any{g.Tenant, g.Client, g.Audience, user, g.Scopes})
}

func (a *Authority) newToken(g Grant, resource *Resource) (issued, error) {
	// exp has whole seconds: rounded up, the token lives for as long as
	// expires_in, rounded down, says.
	expiry := a.now().Add(a.lifetime + time.Second - 1).Truncate(time.Second)
	value, err := a.sign(g, a.claims(g, resource, expiry))
	if err != nil {
		return issued{}, err
	}
	t := issued{value: value, expiry: expiry}
	a.ledger.remember(g.key(), t)
	return t, nil
}

// sign returns claims as a JWT by the key of g's tenant.
func (a *Authority) sign(g Grant, claims jwt.MapClaims) (string, error) {
	key := a.signingKey(g.Tenant)
	t := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
	t.Header["kid"], t.Header["x5t"] = key.id, key.id
	replace(t.Header, g.Header)
	signed, err := t.SigningString()
	if err != nil {
		return "", fmt.Errorf("simulated authority: %w", err)
	}
	return key.sign(signed)
}

// Sign returns what Entra never would: header and claims as they are, which need
// not be JSON, under the RS256 signature of the key that signs tenant's tokens. ""
// means the first tenant.
func (a *Authority) Sign(tenant, header, claims string) (string, error) {
	encode := base64.RawURLEncoding.EncodeToString
	return a.signingKey(tenant).sign(encode([]byte(header)) + "." + encode([]byte(claims)))
}

// replace puts what further has into m; nil removes.
func replace(m, further map[string]any) {
	maps.Copy(m, further)
	maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil })
}

// claims returns what the token of g says. No two are alike: uti differs.
//
// https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference
func (a *Authority) claims(g Grant, resource *Resource, expiry time.Time) jwt.MapClaims {
	now := a.now()
	c := jwt.MapClaims{
		"tid": g.Tenant,
		"uti": base64.RawURLEncoding.EncodeToString(randomBytes(16)),
		// Entra dates tokens back, so that clocks may differ.
		"iat": jwt.NewNumericDate(now.Add(-5 * time.Minute)),
		"nbf": jwt.NewNumericDate(now.Add(-5 * time.Minute)),
		"exp": jwt.NewNumericDate(expiry),
	}
	application := "appid"
	if resource.Version == 2 {
		c["ver"], c["aud"], c["iss"], application = "2.0", resource.ID, a.issuer(g.Tenant), "azp"
	} else {
		c["ver"], c["aud"], c["iss"] = "1.0", g.Audience, issuerV1(g.Tenant)
	}
	c[application], c[application+"acr"] = strings.ToLower(g.Client), "1"
	if g.User != nil {
		userClaims(c, g, resource)
	} else {
		a.applicationClaims(c, g, resource)
	}
	replace(c, g.Claims)
	return c
}

func userClaims(c jwt.MapClaims, g Grant, resource *Resource) {
	scopes := g.Scopes
	if scopes == nil {
		scopes = resource.Scopes
	}
	c["idtyp"], c["scp"], c["oid"] = "user", strings.Join(scopes, " "), g.User.ObjectID
	c["sub"] = g.User.subject(g.Client)
	c["name"] = g.User.Name
	if resource.Version == 2 {
		c["preferred_username"] = g.User.Username
	} else {
		c["upn"], c["unique_name"] = g.User.Username, g.User.Username
	}
}

// subject returns what the user is called towards one application.
func (u *User) subject(client string) string {
	return uuid.NewSHA1(uuid.Nil, []byte(u.ObjectID+strings.ToLower(client))).String()
}

func (a *Authority) applicationClaims(c jwt.MapClaims, g Grant, resource *Resource) {
	principal := principalID(strings.ToLower(g.Client))
	if known := a.findClient(g.Client); known != nil {
		principal = known.ObjectID
	}
	c["idtyp"], c["oid"], c["sub"] = "app", principal, principal
	roles := g.Roles
	if roles == nil {
		roles = resource.Roles
	}
	if len(roles) > 0 {
		c["roles"] = slices.Clone(roles)
	}
}

// issuer returns the issuer of v2 tokens and of the OpenID configuration.
func (a *Authority) issuer(tenant string) string { return a.url + "/" + tenant + "/v2.0" }

// issuerV1 returns the issuer of v1 tokens, which names no authority.
func issuerV1(tenant string) string { return "https://sts.windows.net/" + tenant + "/" }
