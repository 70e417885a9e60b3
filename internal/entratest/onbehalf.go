package entratest

import (
	"errors"
	"net/http"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// OnBehalfOf is the grant type by which an API exchanges the token it was called
// with for one of another API, for the same user (RFC 7523 section 2.1).
const OnBehalfOf = "urn:ietf:params:oauth:grant-type:jwt-bearer"

// caller is whom an assertion speaks for.
type caller struct {
	session
	contexts []string // authentication contexts the sign-in has satisfied
}

// onBehalfOf answers an API that authenticates as itself and shows the token it
// was called with. No ID token comes along: nobody reads it, and a signature is
// most of what a request costs.
//
// https://learn.microsoft.com/entra/identity-platform/v2-oauth2-on-behalf-of-flow
func (a *Authority) onBehalfOf(r *http.Request, seen Request, client *Client) (any, *Failure) {
	acr, failure := a.authenticate(r, seen, client)
	if failure != nil {
		return nil, failure
	}
	who, failure := a.checkUser(r, seen, client)
	if failure != nil {
		return nil, failure
	}
	g, resource, failure := a.delegatedScope(seen.Scope)
	if failure == nil {
		failure = a.checkResource(r, resource)
	}
	if failure == nil {
		g.Scopes, failure = a.consented(client, resource, who.user, g.Scopes, seen.Scope)
	}
	if failure == nil {
		failure = a.policies.check(who, resource.ID)
	}
	if failure != nil {
		return nil, failure
	}
	g.Tenant, g.Client, g.User = who.tenant, client.ID, who.user
	g.Claims = contextClaim(append(who.contexts, askedContexts(seen.Claims)...))
	body, failure := a.respond(g, resource, acr)
	if failure != nil {
		return nil, failure
	}
	body["scope"], body["client_info"] = grantedScope(g, seen.Scope), clientInfo(who.session)
	if lasting(r.PostForm) {
		body["refresh_token"] = a.devices.remember(who.session)
	}
	return body, nil
}

// checkUser returns the user whose token the assertion is: a valid one of the
// same tenant, for the client that shows it.
func (a *Authority) checkUser(r *http.Request, seen Request, client *Client) (caller, *Failure) {
	assertion := r.PostForm.Get("assertion")
	switch {
	case r.PostForm.Get("requested_token_use") != "on_behalf_of":
		return caller{}, missing("requested_token_use")
	case assertion == "":
		return caller{}, missing("assertion")
	}
	claims, err := a.Validate(assertion, client.ID)
	if err != nil {
		return caller{}, failWith(assertionCode(err))
	}
	text := func(name string) string { s, _ := claims[name].(string); return s }
	tenant := strings.ToLower(text("tid"))
	switch {
	case text("scp") == "":
		return caller{}, failWith(7000114)
	case !anyTenant(seen.Tenant) && !strings.EqualFold(seen.Tenant, tenant):
		return caller{}, failWith(50020)
	}
	user := &User{ObjectID: text("oid"), Username: orDefault(text("preferred_username"), text("upn")), Name: text("name")}
	return caller{
		session:  session{tenant: tenant, home: tenant, client: client.ID, user: user, scope: seen.Scope},
		contexts: texts(claims["acrs"]),
	}, nil
}

// assertionCode is what Entra says of a token that Validate refuses.
func assertionCode(err error) int {
	switch {
	case errors.Is(err, ErrRevoked):
		return 50173
	case errors.Is(err, jwt.ErrTokenMalformed):
		return 50027
	case outOfTime(err):
		return 500133
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return 500131
	}
	return 50013
}

// claimedUser returns the user that an assertion says it is of, unverified, or "".
func claimedUser(assertion string) string {
	var claims jwt.MapClaims
	if _, _, err := jwt.NewParser().ParseUnverified(assertion, &claims); err != nil {
		return ""
	}
	user, _ := claims["oid"].(string)
	return user
}

// texts returns the strings of a JSON list.
func texts(list any) (all []string) {
	values, _ := list.([]any)
	for _, v := range values {
		if s, ok := v.(string); ok {
			all = append(all, s)
		}
	}
	return all
}
