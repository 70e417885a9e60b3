package entratest

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// refresh is RFC 6749 section 6. One refresh token is good for every resource
// of every tenant, as with Entra: az comes by with it for the audience of a
// tenant that it was never signed in to.
func (a *Authority) refresh(r *http.Request, seen Request, client *Client) (any, *Failure) {
	who, ok := a.devices.recall(r.PostForm.Get("refresh_token"))
	if !ok || who.client != client.ID {
		return nil, failWith(70000)
	}
	if !anyTenant(seen.Tenant) {
		who.tenant = strings.ToLower(seen.Tenant)
	}
	return a.respondUser(r, seen, client, who)
}

// respondUser issues the tokens of a person who has signed in.
func (a *Authority) respondUser(r *http.Request, seen Request, client *Client, who session) (any, *Failure) {
	acr := "0" // a public client, which proves nothing
	if !client.Public {
		var failure *Failure
		if acr, failure = a.authenticate(r, seen, client); failure != nil {
			return nil, failure
		}
	}
	who.scope = orDefault(seen.Scope, who.scope) // optional here (RFC 6749 sections 4.1.3 and 6, RFC 8628)
	g, resource, failure := a.delegatedScope(who.scope)
	if failure == nil {
		failure = a.checkResource(r, resource)
	}
	if failure != nil {
		return nil, failure
	}
	g.Tenant, g.Client, g.User = who.tenant, who.client, who.user
	g.Claims = contextClaim(askedContexts(seen.Claims))
	body, failure := a.respond(g, resource, acr)
	if failure != nil {
		return nil, failure
	}
	id, err := a.sign(Grant{Tenant: who.tenant}, a.idClaims(who))
	if err != nil {
		return nil, &Failure{Description: err.Error()}
	}
	body["scope"], body["id_token"], body["client_info"] = grantedScope(g, who.scope), id, clientInfo(who)
	body["refresh_token"] = a.devices.remember(who)
	return body, nil
}

// delegatedScope returns the audience, the scopes and the resource that a
// user's request names: "<audience>/<scope>" any number of times, or
// "<audience>/.default" for all there are.
func (a *Authority) delegatedScope(scope string) (g Grant, resource *Resource, failure *Failure) {
	for _, s := range strings.Fields(scope) {
		cut := strings.LastIndex(s, "/")
		if cut < 0 {
			return Grant{}, nil, failWith(70011)
		}
		audience, name := s[:cut], s[cut+1:]
		found := a.findResource(audience)
		switch {
		case found == nil:
			return Grant{}, nil, failWith(500011)
		case resource != nil && resource != found:
			return Grant{}, nil, failWith(28000)
		case name == ".default":
			g.Scopes = append(g.Scopes, found.Scopes...)
		case slices.Contains(found.Scopes, name):
			g.Scopes = append(g.Scopes, name)
		default:
			return Grant{}, nil, failWith(650053)
		}
		g.Audience, resource = audience, found
	}
	if resource == nil {
		return Grant{}, nil, missing("scope")
	}
	slices.Sort(g.Scopes)
	g.Scopes = slices.Compact(g.Scopes)
	return g, resource, nil
}

// checkResource refuses resource parameters (RFC 8707) that name something else
// than the scopes do, as Entra does since March 2026.
func (a *Authority) checkResource(r *http.Request, scopes *Resource) *Failure {
	for _, named := range r.Form["resource"] {
		if a.findResource(named) != scopes {
			return failWith(9010010)
		}
	}
	return nil
}

// grantedScope is what the answer says was granted: the scopes in full, and
// what was asked for, since clients compare.
func grantedScope(g Grant, asked string) string {
	all := strings.Fields(asked)
	for _, s := range g.Scopes {
		if full := g.Audience + "/" + s; !slices.Contains(all, full) {
			all = append(all, full)
		}
	}
	return strings.Join(all, " ")
}

// idClaims returns the content of the ID token (OpenID Connect Core 1.0).
func (a *Authority) idClaims(who session) jwt.MapClaims {
	now := a.now()
	return jwt.MapClaims{
		"aud": who.client, "iss": a.issuer(who.tenant), "tid": who.tenant, "ver": "2.0",
		"iat": jwt.NewNumericDate(now), "nbf": jwt.NewNumericDate(now), "exp": jwt.NewNumericDate(now.Add(a.lifetime)),
		"oid": who.user.ObjectID, "sub": who.user.subject(who.client),
		"name": who.user.Name, "preferred_username": who.user.Username,
	}
}

// clientInfo is how Entra tells MSAL which account this is.
func clientInfo(who session) string {
	// A map of strings has no value that JSON could refuse.
	info, _ := json.Marshal(map[string]string{"uid": who.user.ObjectID, "utid": who.home})
	return base64.RawURLEncoding.EncodeToString(info)
}
