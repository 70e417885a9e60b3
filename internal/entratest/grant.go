package entratest

import (
	"crypto/subtle"
	"net/http"
	"slices"
	"strings"
	"time"
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// token answers the token endpoint.
func (a *Authority) token(r *http.Request, seen Request) (any, *Failure) {
	client := a.findClient(seen.Client)
	switch {
	case seen.Grant == "":
		return nil, missing("grant_type")
	case client == nil:
		return nil, failWith(700016)
	}
	switch seen.Grant {
	case "client_credentials":
		return a.clientCredentials(r, seen, client)
	case "urn:ietf:params:oauth:grant-type:device_code", "device_code": // RFC 8628's, and what MSAL Go sends
		return a.redeemDevice(r, seen, client)
	case "authorization_code":
		return a.redeemCode(r, seen, client)
	case "refresh_token":
		return a.refresh(r, seen, client)
	case OnBehalfOf:
		return a.onBehalfOf(r, seen, client)
	default:
		return nil, failWith(70003)
	}
}

// clientCredentials is RFC 6749 section 4.4: the application for itself.
func (a *Authority) clientCredentials(r *http.Request, seen Request, client *Client) (any, *Failure) {
	if anyTenant(seen.Tenant) {
		return nil, failWith(50059)
	}
	acr, failure := a.authenticate(r, seen, client)
	if failure != nil {
		return nil, failure
	}
	audience, resource, failure := a.defaultScope(seen.Scope)
	if failure != nil {
		return nil, failure
	}
	g := Grant{Tenant: strings.ToLower(seen.Tenant), Client: client.ID, Audience: audience}
	g.Claims = contextClaim(askedContexts(seen.Claims))
	return a.respond(g, resource, acr)
}

// respond issues a token and wraps it as the token endpoint does.
func (a *Authority) respond(g Grant, resource *Resource, acr string) (map[string]any, *Failure) {
	if g.Claims == nil {
		g.Claims = make(map[string]any)
	}
	g.Claims[acrClaim(resource)] = acr
	t, err := a.issue(g, resource)
	if err != nil {
		return nil, &Failure{Description: err.Error()}
	}
	left := seconds(t.expiry.Sub(a.now()))
	body := map[string]any{"token_type": "Bearer", "access_token": t.value, "expires_in": left, "ext_expires_in": left}
	if a.lifetime > 2*time.Hour {
		body["refresh_in"] = left / 2
	}
	return body, nil
}

// acrClaim names the claim that says how the client authenticated.
func acrClaim(r *Resource) string {
	if r.Version == 2 {
		return "azpacr"
	}
	return "appidacr"
}

// seconds rounds down.
func seconds(d time.Duration) int64 { return max(0, int64(d/time.Second)) }

// defaultScope returns the audience and resource of the one scope a client
// may ask for itself, "<audience>/.default".
func (a *Authority) defaultScope(scope string) (audience string, resource *Resource, failure *Failure) {
	switch scopes := strings.Fields(scope); {
	case len(scopes) == 0:
		return "", nil, missing("scope")
	case len(scopes) > 1:
		return "", nil, failWith(70011)
	}
	audience, ok := strings.CutSuffix(scope, "/.default")
	switch resource = a.findResource(audience); {
	case !ok:
		return "", nil, failWith(1002012)
	case audience == "" || strings.HasSuffix(audience, "://"):
		return "", nil, failWith(70011)
	case resource == nil:
		return "", nil, failWith(500011)
	}
	return audience, resource, nil
}

// missing is the failure of a request without that parameter.
func missing(parameter string) *Failure {
	f := failWith(900144)
	f.Description = strings.Replace(f.Description, "{parameter}", parameter, 1)
	return f
}

// apiScopes returns the scopes that are not OpenID Connect's own, which
// clients add to every request.
func apiScopes(scope string) []string {
	return slices.DeleteFunc(strings.Fields(scope), func(s string) bool {
		return s == "openid" || s == "profile" || s == "email" || s == "offline_access"
	})
}

// authenticate checks the client's credential and returns its class: "1" for
// a secret, "2" for an assertion.
func (a *Authority) authenticate(r *http.Request, seen Request, client *Client) (acr string, failure *Failure) {
	if secret := r.PostForm.Get("client_secret"); secret != "" {
		if !slices.ContainsFunc(client.Secrets, func(s string) bool {
			return subtle.ConstantTimeCompare([]byte(s), []byte(secret)) == 1
		}) {
			return "", failWith(7000215)
		}
		return "1", nil
	}
	assertion := r.PostForm.Get("client_assertion")
	if assertion == "" || r.PostForm.Get("client_assertion_type") != assertionType {
		return "", failWith(7000218)
	}
	return "2", a.checkAssertion(assertion, strings.ToLower(seen.Tenant), client)
}
