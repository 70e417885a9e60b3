package entratest

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// maxForm bounds what a client may post, in bytes.
const maxForm = 1 << 20

// answer produces the body of a successful answer, to be sent as JSON, or
// says what is wrong.
type answer func(*http.Request, Request) (any, *Failure)

// authorityHandler serves what login.microsoftonline.com does.
func (a *Authority) authorityHandler() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, e Endpoint, f answer) {
		mux.Handle(pattern, a.endpoint(e, a.inTenant(f)))
	}
	handle("GET /{tenant}/v2.0/.well-known/openid-configuration", DiscoveryEndpoint, a.configuration)
	handle("GET /{tenant}/.well-known/openid-configuration", DiscoveryEndpoint, a.configurationV1)
	handle("GET /{tenant}/discovery/v2.0/keys", KeysEndpoint, a.publishedKeys)
	handle("GET /{tenant}/discovery/keys", KeysEndpoint, a.publishedKeys)
	handle("POST /{tenant}/oauth2/v2.0/token", TokenEndpoint, a.token)
	handle("POST /{tenant}/oauth2/v2.0/devicecode", DeviceCodeEndpoint, a.device)
	mux.HandleFunc("GET /{tenant}/oauth2/v2.0/authorize", a.authorize)
	mux.Handle("GET /common/discovery/instance", a.endpoint(DiscoveryEndpoint, a.instances))
	mux.Handle("GET /tenants", a.endpoint(ARMEndpoint, a.resourceManager(a.listTenants)))
	mux.Handle("GET /subscriptions", a.endpoint(ARMEndpoint, a.resourceManager(a.listSubscriptions)))
	a.handleGraph(mux)
	return mux
}

// endpoint records a request, lets it meet its failure, and answers it.
func (a *Authority) endpoint(e Endpoint, f answer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		// A body that is no form leaves out parameters, which is answered below.
		_ = r.ParseForm()
		seen, open := a.requests.begin(a.describe(e, r))
		if !open {
			panic(http.ErrAbortHandler)
		}
		defer a.requests.end(seen)
		body, failure := a.meet(r, *seen, f)
		if failure != nil {
			a.writeFailure(w, r, seen, failure.withDefaults())
			return
		}
		a.requests.answer(seen, http.StatusOK, 0)
		writeJSON(w, http.StatusOK, body)
	})
}

// meet returns the failure that is in effect for r, or else the usual answer.
func (a *Authority) meet(r *http.Request, seen Request, f answer) (any, *Failure) {
	fault := a.faults.take(seen)
	if fault == nil {
		return f(r, seen)
	}
	if err := fault.hold(r.Context()); err != nil || fault.Reset {
		panic(http.ErrAbortHandler)
	}
	if fault.answers() {
		return nil, &fault.Failure
	}
	return f(r, seen)
}

// inTenant refuses tenants that are not registered, and are not whichever
// tenant the person belongs to.
func (a *Authority) inTenant(f answer) answer {
	return func(r *http.Request, seen Request) (any, *Failure) {
		if a.hasTenant(seen.Tenant) || anyTenant(seen.Tenant) {
			return f(r, seen)
		}
		if _, err := uuid.Parse(seen.Tenant); err != nil {
			return nil, failWith(900023)
		}
		return nil, failWith(90002)
	}
}

// describe returns what is recorded about r, whose form has been parsed.
func (a *Authority) describe(e Endpoint, r *http.Request) Request {
	seen := Request{
		Endpoint: e,
		Tenant:   r.PathValue("tenant"),
		Client:   r.Form.Get("client_id"),
		Grant:    r.Form.Get("grant_type"),
		Scope:    strings.Join(apiScopes(r.Form.Get("scope")), " "),
		Claims:   r.Form.Get("claims"),
		Form:     redact(r.Form),
	}
	if seen.Grant == OnBehalfOf {
		seen.User = claimedUser(r.Form.Get("assertion"))
	}
	if e == IdentityEndpoint {
		seen.Tenant, seen.Scope = a.tenants[0], r.Form.Get("resource")
	}
	return seen
}

// redact returns form without the credentials in it.
func redact(form url.Values) url.Values {
	out := make(url.Values, len(form))
	for name, values := range form {
		switch name {
		case "client_secret", "client_assertion", "assertion", "refresh_token", "device_code", "code", "code_verifier", "password":
			out[name] = []string{"redacted"}
		default:
			out[name] = append([]string(nil), values...)
		}
	}
	return out
}

// writeFailure answers with f, whose defaults have been filled in.
func (a *Authority) writeFailure(w http.ResponseWriter, r *http.Request, seen *Request, f Failure) {
	a.requests.answer(seen, f.Status, f.Code)
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(f.RetryAfter/time.Second)))
	}
	id := orDefault(r.Header.Get("client-request-id"), uuid.NewString())
	switch {
	case f.Body != "":
		w.WriteHeader(f.Status)
		_, _ = w.Write([]byte(f.Body)) // the client may have gone; nobody else is to be told
	case seen.Endpoint == IdentityEndpoint:
		writeJSON(w, f.Status, identityError(r, f, *seen))
	case seen.Endpoint == ARMEndpoint:
		writeJSON(w, f.Status, armError(f))
	case seen.Endpoint == GraphEndpoint:
		writeJSON(w, f.Status, a.graphError(f, id))
	default:
		writeJSON(w, f.Status, a.errorBody(f, *seen, id))
	}
}

// writeJSON answers with body and the headers that Entra sends with tokens.
func writeJSON(w http.ResponseWriter, status int, body any) {
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", "no-store, no-cache")
	h.Set("Pragma", "no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("x-ms-request-id", uuid.NewString())
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // as above
}

// configuration answers with the OpenID configuration (OpenID Connect
// Discovery 1.0) whose issuer is that of v2 tokens. As in Entra's, nothing is said of
// PKCE.
func (a *Authority) configuration(_ *http.Request, seen Request) (any, *Failure) {
	base := a.url + "/" + strings.ToLower(seen.Tenant)
	return map[string]any{
		"issuer":                                a.issuer(issuerTenant(seen.Tenant)),
		"authorization_endpoint":                base + "/oauth2/v2.0/authorize",
		"token_endpoint":                        base + "/oauth2/v2.0/token",
		"device_authorization_endpoint":         base + "/oauth2/v2.0/devicecode",
		"jwks_uri":                              base + "/discovery/v2.0/keys",
		"token_endpoint_auth_methods_supported": []string{"client_secret_post", "private_key_jwt"},
		"response_types_supported":              []string{"code"},
		"response_modes_supported":              []string{"query", "form_post"},
		"subject_types_supported":               []string{"pairwise"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
		"scopes_supported":                      []string{"openid", "profile", "email", "offline_access"},
		"cloud_instance_name":                   "entratest",
		"msgraph_host":                          a.graphHost(),
	}, nil
}

// configurationV1 is configuration with the issuer of v1 tokens.
func (a *Authority) configurationV1(r *http.Request, seen Request) (any, *Failure) {
	body, failure := a.configuration(r, seen)
	if document, ok := body.(map[string]any); ok {
		document["issuer"] = issuerV1(issuerTenant(seen.Tenant))
		document["jwks_uri"] = a.url + "/" + strings.ToLower(seen.Tenant) + "/discovery/keys"
	}
	return body, failure
}

func (a *Authority) publishedKeys(_ *http.Request, seen Request) (any, *Failure) {
	return a.keys.document(strings.ToLower(seen.Tenant), a.issuer(issuerTenant(seen.Tenant))), nil
}
