package entratest

import (
	"crypto/subtle"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// IdentityEnv returns the variables that App Service gives its applications,
// IDENTITY_ENDPOINT and IDENTITY_HEADER.
func (a *Authority) IdentityEnv() map[string]string {
	return map[string]string{"IDENTITY_ENDPOINT": a.identity + "/msi/token", "IDENTITY_HEADER": a.header}
}

// IdentityURL returns the base URL of the managed identity endpoints:
// /msi/token is App Service's, /metadata/identity/oauth2/token the virtual
// machines' (IMDS), which clients look for at http://169.254.169.254.
func (a *Authority) IdentityURL() string { return a.identity }

// identityHandler serves both shapes.
func (a *Authority) identityHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /msi/token", a.endpoint(IdentityEndpoint, a.appService))
	mux.Handle("GET /metadata/identity/oauth2/token", a.endpoint(IdentityEndpoint, a.imds))
	return mux
}

// appService is the endpoint of App Service, API version 2019-08-01.
//
// https://learn.microsoft.com/azure/app-service/overview-managed-identity
func (a *Authority) appService(r *http.Request, seen Request) (any, *Failure) {
	secret := r.Header.Get("X-IDENTITY-HEADER")
	switch {
	case subtle.ConstantTimeCompare([]byte(secret), []byte(a.header)) != 1:
		return nil, &Failure{Status: http.StatusUnauthorized, Description: "The X-IDENTITY-HEADER header is missing or wrong."}
	case r.Form.Get("api-version") != "2019-08-01":
		return nil, badIdentityRequest("The api-version is not supported.")
	}
	body, failure := a.managedToken(r, seen)
	return body.fields, failure
}

// imds is the Instance Metadata Service of virtual machines.
//
// https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token
func (a *Authority) imds(r *http.Request, seen Request) (any, *Failure) {
	switch {
	case r.Header.Get("Metadata") != "true":
		return nil, badIdentityRequest("Required metadata header not specified")
	case r.Header.Get("X-Forwarded-For") != "":
		return nil, badIdentityRequest("Forwarded requests are not served")
	case r.Form.Get("api-version") == "":
		return nil, badIdentityRequest("Required query variable 'api-version' is missing")
	}
	body, failure := a.managedToken(r, seen)
	if failure == nil {
		left := strconv.FormatInt(seconds(body.expiry.Sub(a.now())), 10)
		body.fields["expires_in"], body.fields["ext_expires_in"] = left, left
	}
	return body.fields, failure
}

// managedAnswer is what both endpoints answer. Times are strings in it.
type managedAnswer struct {
	fields map[string]any
	expiry time.Time
}

func (a *Authority) managedToken(r *http.Request, seen Request) (managedAnswer, *Failure) {
	client := a.managed(seen.Client, r.Form.Get("object_id"), orDefault(r.Form.Get("mi_res_id"), r.Form.Get("msi_res_id")))
	resource := a.findResource(seen.Scope)
	switch {
	case seen.Scope == "":
		return managedAnswer{}, badIdentityRequest("Required query variable 'resource' is missing")
	case client == nil:
		return managedAnswer{}, badIdentityRequest("Identity not found")
	case resource == nil:
		return managedAnswer{}, failWith(500011)
	}
	g := Grant{Tenant: seen.Tenant, Client: client.ID, Audience: seen.Scope, Claims: map[string]any{acrClaim(resource): "2"}}
	t, err := a.issue(g, resource)
	if err != nil {
		return managedAnswer{}, &Failure{Description: err.Error()}
	}
	return managedAnswer{expiry: t.expiry, fields: map[string]any{
		"access_token": t.value,
		"client_id":    client.ID,
		"expires_on":   strconv.FormatInt(t.expiry.Unix(), 10),
		"resource":     seen.Scope,
		"token_type":   "Bearer",
	}}, nil
}

func badIdentityRequest(text string) *Failure {
	return &Failure{Status: http.StatusBadRequest, Error: "invalid_request", Description: text}
}

// identityError returns f as the endpoint that r went to writes it.
func identityError(r *http.Request, f Failure, seen Request) map[string]any {
	text := f.fill(seen)
	if f.Code != 0 {
		text = "AADSTS" + strconv.Itoa(f.Code) + ": " + text
	}
	if strings.HasPrefix(r.URL.Path, "/msi/") {
		return map[string]any{"statusCode": f.Status, "message": text}
	}
	return map[string]any{"error": orDefault(f.Error, "unknown"), "error_description": text}
}
