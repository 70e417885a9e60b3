package entratest_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	msalerrors "github.com/AzureAD/microsoft-authentication-library-for-go/apps/errors"
	"github.com/golang-jwt/jwt/v5"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

var bob = entratest.User{ObjectID: "88888888-8888-4888-8888-888888888888", Username: "bob@corp.example", Name: "Bob"}

// middle makes the client an API, too, as one that acts on behalf of users is.
func middle(o *entratest.Options) {
	o.Resources = append(o.Resources, entratest.Resource{ID: app, Version: 2, URIs: []string{"api://gate.example"}, Scopes: []string{"access"}})
}

// confidentialClient returns MSAL's client of that application.
func confidentialClient(t *testing.T, a *entratest.Authority, cred confidential.Credential) confidential.Client {
	t.Helper()
	c, err := confidential.New(a.URL()+"/"+tenant, app, cred, confidential.WithHTTPClient(a.HTTPClient()),
		confidential.WithInstanceDiscovery(false), confidential.WithClientCapabilities([]string{"cp1"}))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func secretClient(t *testing.T, a *entratest.Authority) confidential.Client {
	t.Helper()
	cred, err := confidential.NewCredFromSecret(secret)
	if err != nil {
		t.Fatal(err)
	}
	return confidentialClient(t, a, cred)
}

// issue returns a token for the client that middle makes an API.
func issue(t *testing.T, a *entratest.Authority, g entratest.Grant) string {
	t.Helper()
	if g.Audience == "" {
		g.Audience = app
	}
	token, err := a.Issue(g)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// exchanged returns the claims of the token for apiV2 that c gets for assertion.
func exchanged(t *testing.T, a *entratest.Authority, c confidential.Client, assertion string, scopes ...string) (map[string]any, error) {
	t.Helper()
	result, err := c.AcquireTokenOnBehalfOf(guarded(t), assertion, scopes)
	if err != nil {
		return nil, err
	}
	claims, err := a.Validate(result.AccessToken, apiV2)
	if err != nil {
		t.Error(err)
	}
	return claims, nil
}

func TestOnBehalfOfExchangesEachUsersToken(t *testing.T) {
	t.Parallel()
	a := start(t, middle)
	c := secretClient(t, a)
	for _, user := range []entratest.User{ada, bob} {
		assertion := issue(t, a, entratest.Grant{Client: apiV1, User: &user})
		claims, err := exchanged(t, a, c, assertion, "api://"+apiV2+"/write")
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]any{"oid": user.ObjectID, "name": user.Name, "preferred_username": user.Username, "idtyp": "user",
			"scp": "write", "aud": apiV2, "azp": app, "azpacr": "1", "tid": tenant}
		for name, v := range want {
			if claims[name] != v {
				t.Errorf("%s: %s = %v, want %v", user.Name, name, claims[name], v)
			}
		}
		if n := a.Count(entratest.Request{Grant: entratest.OnBehalfOf, User: strings.ToUpper(user.ObjectID)}); n != 1 {
			t.Errorf("%d requests of %s were recorded, want 1", n, user.Name)
		}
	}
}

func TestOnBehalfOfTakesEveryCredential(t *testing.T) {
	t.Parallel()
	cert := selfSigned(t, rsaKey())
	a := start(t, middle, func(o *entratest.Options) {
		o.Clients[0].Certificates, o.Clients[0].Federated = []*x509.Certificate{cert}, []entratest.Federation{{}}
	})
	byCertificate, err := confidential.NewCredFromCert([]*x509.Certificate{cert}, rsaKey())
	if err != nil {
		t.Fatal(err)
	}
	byAssertion := confidential.NewCredFromAssertionCallback(func(context.Context, confidential.AssertionRequestOptions) (string, error) {
		return a.Assertion(app)
	})
	for name, cred := range map[string]confidential.Credential{"certificate": byCertificate, "federated assertion": byAssertion} {
		assertion := issue(t, a, entratest.Grant{Client: apiV1, User: &ada})
		claims, err := exchanged(t, a, confidentialClient(t, a, cred), assertion, "api://"+apiV2+"/.default")
		if err != nil || claims["azpacr"] != "2" || claims["scp"] != "read write" {
			t.Errorf("%s: azpacr %v, scp %v, %v", name, claims["azpacr"], claims["scp"], err)
		}
	}
}

func TestOnBehalfOfTakesV1AssertionsForAnyNameOfTheClient(t *testing.T) {
	t.Parallel()
	a := start(t, middle, func(o *entratest.Options) { o.Resources[2].Version = 1 })
	for _, audience := range []string{app, "api://" + app, "api://gate.example"} {
		assertion := issue(t, a, entratest.Grant{Client: apiV1, Audience: audience, User: &ada})
		claims, err := exchanged(t, a, secretClient(t, a), assertion, "api://"+apiV2+"/read")
		if err != nil || claims["oid"] != ada.ObjectID || claims["preferred_username"] != ada.Username {
			t.Errorf("%s: %v, %v", audience, claims, err)
		}
	}
}

func behalfForm(assertion string, edit url.Values) url.Values {
	form := secretForm(url.Values{
		"grant_type": {entratest.OnBehalfOf}, "requested_token_use": {"on_behalf_of"}, "assertion": {assertion},
		"scope": {"api://" + apiV2 + "/read openid profile"},
	})
	for name, values := range edit {
		form[name] = values
	}
	return form
}

func TestOnBehalfOfRefuses(t *testing.T) {
	t.Parallel()
	const otherTenant = apiV2
	a := start(t, middle, func(o *entratest.Options) { o.Tenants = append(o.Tenants, otherTenant) })
	foreign := start(t, middle)
	user := entratest.Grant{Client: apiV1, User: &ada}
	good := issue(t, a, user)
	with := func(edit func(*entratest.Grant)) string {
		g := user
		edit(&g)
		return issue(t, a, g)
	}
	revoked := issue(t, a, user)
	a.Revoke(revoked)
	now := time.Now()
	claim := func(name string, v any) func(*entratest.Grant) {
		return func(g *entratest.Grant) { g.Claims = map[string]any{name: v} }
	}
	unsigned, err := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{"aud": app, "oid": ada.ObjectID, "exp": now.Add(time.Hour).Unix()}).
		SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, assertion string
		edit            url.Values
		code            int
	}{
		{"nothing", good, nil, 0},
		{"a wrong secret", good, url.Values{"client_secret": {"x"}}, 7000215},
		{"no credential", good, url.Values{"client_secret": nil}, 7000218},
		{"another use of a token", good, url.Values{"requested_token_use": {"other"}}, 900144},
		{"no assertion", "", nil, 900144},
		{"an assertion that is none", "hello", nil, 50027},
		{"an unsigned assertion", unsigned, nil, 50013},
		{"a changed assertion", good[:len(good)-8] + "AAAAAAAA", nil, 50013},
		{"another authority's assertion", issue(t, foreign, user), nil, 50013},
		{"another issuer's assertion", with(claim("iss", "https://evil.example/")), nil, 50013},
		{"an expired assertion", with(claim("exp", now.Add(-time.Minute).Unix())), nil, 500133},
		{"an assertion without an end", with(claim("exp", nil)), nil, 50013},
		{"an assertion for another API", with(func(g *entratest.Grant) { g.Audience = apiV1 }), nil, 500131},
		{"an application's token", with(func(g *entratest.Grant) { g.User = nil }), nil, 7000114},
		{"a user of another tenant", with(func(g *entratest.Grant) { g.Tenant = otherTenant }), nil, 50020},
		{"a revoked assertion", revoked, nil, 50173},
		{"no scope", good, url.Values{"scope": {"openid"}}, 900144},
		{"a scope that is not there", good, url.Values{"scope": {"api://" + apiV2 + "/nonesuch"}}, 650053},
		{"an API that is not there", good, url.Values{"scope": {"api://nonesuch/read"}}, 500011},
		{"scopes of two APIs", good, url.Values{"scope": {"api://" + apiV2 + "/read " + vault + "/access_as_user"}}, 28000},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if code := post(t.Context(), t, a, tenant, behalfForm(tt.assertion, tt.edit)); code != tt.code {
				t.Errorf("AADSTS%d, want AADSTS%d", code, tt.code)
			}
		})
	}
	if code := post(t.Context(), t, a, "organizations", behalfForm(good, nil)); code != 0 {
		t.Errorf("whichever tenant the user is of: AADSTS%d", code)
	}
}

func TestOnBehalfOfGivesARefreshTokenOnlyWhenAskedTo(t *testing.T) {
	t.Parallel()
	a := start(t, middle)
	assertion := issue(t, a, entratest.Grant{Client: apiV1, User: &ada})
	var answer map[string]any
	postJSON(t, a, tenant+"/oauth2/v2.0/token", behalfForm(assertion, nil), &answer)
	if answer["refresh_token"] != nil || answer["id_token"] != nil || answer["scope"] != "api://"+apiV2+"/read" {
		t.Errorf("answered %v", answer)
	}
	lasting := url.Values{"scope": {"api://" + apiV2 + "/read offline_access"}}
	postJSON(t, a, tenant+"/oauth2/v2.0/token", behalfForm(assertion, lasting), &answer)
	refresh, _ := answer["refresh_token"].(string)
	again := secretForm(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}, "scope": {"api://" + apiV2 + "/read"}})
	if code := post(t.Context(), t, a, tenant, again); code != 0 {
		t.Errorf("the refresh token: AADSTS%d", code)
	}
}

func TestFailureHitsOneUser(t *testing.T) {
	t.Parallel()
	a := start(t, middle)
	of := func(u entratest.User) url.Values {
		return behalfForm(issue(t, a, entratest.Grant{Client: apiV1, User: &u}), nil)
	}
	defer a.Fail(entratest.Failure{User: ada.ObjectID, Code: 53003})()
	for _, tt := range []struct {
		name string
		form url.Values
		code int
	}{
		{"the user", of(ada), 53003},
		{"another user", of(bob), 0},
		{"the application for itself", secretForm(nil), 0},
	} {
		if code := post(t.Context(), t, a, tenant, tt.form); code != tt.code {
			t.Errorf("%s: AADSTS%d, want AADSTS%d", tt.name, code, tt.code)
		}
	}
}

// refusal returns what the token endpoint said when MSAL got no token.
func refusal(t *testing.T, err error) (body struct {
	Error, SubError, Claims string
	Codes                   []int `json:"error_codes"`
}) {
	t.Helper()
	var call msalerrors.CallErr
	if !errors.As(err, &call) {
		t.Fatalf("error %v, want a refusal", err)
	}
	defer call.Resp.Body.Close()
	if err := json.NewDecoder(call.Resp.Body).Decode(&body); err != nil {
		t.Fatal(err)
	}
	return body
}
