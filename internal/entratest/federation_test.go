package entratest_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

const (
	managed  = "99999999-9999-4999-8999-999999999999"
	exchange = "api://AzureADTokenExchange"
)

// trusting has the client trust one managed identity of two.
func trusting(o *entratest.Options) {
	o.Clients[0].Federated = []entratest.Federation{{Identity: managed}}
	o.Clients = append(o.Clients, entratest.Client{ID: managed, Managed: true}, entratest.Client{ID: apiV1, Managed: true})
}

// machineToken returns what a machine's identity endpoint gives for an audience.
func machineToken(t *testing.T, a *entratest.Authority, identity, audience string) string {
	t.Helper()
	query := url.Values{"api-version": {"2018-02-01"}, "resource": {audience}, "client_id": {identity}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.IdentityURL()+"/metadata/identity/oauth2/token?"+query.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Metadata", "true")
	resp, err := a.HTTPClient().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var body struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil || body.Token == "" {
		t.Fatalf("status %d, %v", resp.StatusCode, err)
	}
	return body.Token
}

func TestManagedIdentityAuthenticatesTheClientThatTrustsIt(t *testing.T) {
	t.Parallel()
	a := start(t, middle, trusting)
	cred := confidential.NewCredFromAssertionCallback(func(context.Context, confidential.AssertionRequestOptions) (string, error) {
		return machineToken(t, a, managed, exchange), nil
	})
	assertion := issue(t, a, entratest.Grant{Client: apiV1, User: &ada})
	claims, err := exchanged(t, a, confidentialClient(t, a, cred), assertion, "api://"+apiV2+"/read")
	if err != nil || claims["oid"] != ada.ObjectID || claims["azpacr"] != "2" {
		t.Errorf("%v, %v", claims, err)
	}
}

func TestManagedIdentitysAssertionIsChecked(t *testing.T) {
	t.Parallel()
	a, stranger := start(t, trusting), start(t, trusting)
	revoked := machineToken(t, a, managed, exchange)
	a.Revoke(revoked)
	id := entratest.TokenExchange().ID
	sign := func(by *entratest.Authority, edit map[string]any) string {
		token, err := by.Issue(entratest.Grant{Client: managed, Audience: exchange, Claims: edit})
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	for _, tt := range []struct {
		name, assertion string
		code            int
	}{
		{"good", machineToken(t, a, managed, exchange), 0},
		{"by the API's id", machineToken(t, a, managed, id), 0},
		{"another identity's", machineToken(t, a, apiV1, exchange), 700213},
		{"for another API", machineToken(t, a, managed, "api://"+apiV2), 700212},
		{"another authority's", sign(stranger, nil), 700211},
		{"another key's", sign(stranger, map[string]any{"iss": a.URL() + "/" + tenant + "/v2.0"}), 700027},
		{"expired", sign(a, map[string]any{"exp": time.Now().Add(-time.Minute).Unix()}), 700024},
		{"revoked", revoked, 700027},
	} {
		if code := post(t.Context(), t, a, tenant, secretForm(assertionForm(tt.assertion))); code != tt.code {
			t.Errorf("%s: AADSTS%d, want AADSTS%d", tt.name, code, tt.code)
		}
	}
	if _, err := a.Assertion(app); err == nil {
		t.Error("the workload issuer speaks for a client that trusts a managed identity alone")
	}
}

func TestOnlyManagedIdentitiesOfTheDirectoryAreTrusted(t *testing.T) {
	t.Parallel()
	for _, identity := range []string{apiV1, app} {
		o := entratest.Options{Tenants: []string{tenant}, Clients: []entratest.Client{{ID: app, Federated: []entratest.Federation{{Identity: identity}}}}}
		if a, err := entratest.Start(o); err == nil {
			t.Error("accepted", identity, a.Close())
		}
	}
}
