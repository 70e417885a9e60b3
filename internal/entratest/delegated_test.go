package entratest_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

var ada = entratest.User{ObjectID: "77777777-7777-4777-8777-777777777777", Username: "ada@corp.example", Name: "Ada"}

func public(o *entratest.Options) { o.Clients[0].Public = true }

// deviceCredential returns a credential whose user does what decide says with
// the code shown to them.
func deviceCredential(t *testing.T, a *entratest.Authority, decide func(userCode string) error) *azidentity.DeviceCodeCredential {
	t.Helper()
	c, err := azidentity.NewDeviceCodeCredential(&azidentity.DeviceCodeCredentialOptions{
		ClientOptions: clientOptions(a), DisableInstanceDiscovery: true, TenantID: tenant, ClientID: app,
		UserPrompt: func(_ context.Context, m azidentity.DeviceCodeMessage) error { return decide(m.UserCode) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDeviceCodeSignsInAndRefreshesSilently(t *testing.T) {
	t.Parallel()
	a := start(t, public)
	prompts := 0
	c := deviceCredential(t, a, func(code string) error { prompts++; return a.SignIn(code, ada) })
	scope := "api://" + apiV2 + "/.default"
	first, err := get(guarded(t), c, scope)
	if err != nil {
		t.Fatal(err)
	}
	if used := post(t.Context(), t, a, tenant, secretForm(url.Values{"grant_type": {"device_code"}, "device_code": {""}})); used != 70000 {
		t.Errorf("a device code that is used up: AADSTS%d, want AADSTS70000", used)
	}
	claims, err := a.Validate(first, apiV2)
	if err != nil || claims["oid"] != ada.ObjectID || claims["scp"] != "read write" || claims["idtyp"] != "user" || claims["azpacr"] != "0" {
		t.Errorf("claims %v, %v", claims, err)
	}
	challenged, err := c.GetToken(guarded(t), policy.TokenRequestOptions{
		Scopes: []string{scope}, EnableCAE: true, Claims: `{"access_token":{"nbf":{"essential":true}}}`,
	})
	if err != nil || challenged.Token == first {
		t.Errorf("after a claims challenge: same token %v, %v", challenged.Token == first, err)
	}
	if _, err := get(guarded(t), c, "api://"+apiV1+"/access_as_user"); err != nil {
		t.Errorf("another resource by the same refresh token: %v", err)
	}
	if n := a.Count(entratest.Request{Grant: "refresh_token", Status: 200}); n != 2 || prompts != 1 {
		t.Errorf("%d refreshes and %d prompts, want 2 and 1", n, prompts)
	}
}

func TestDeviceCodePollsUntilDecided(t *testing.T) {
	t.Parallel()
	a := start(t, public)
	shown := make(chan string, 1)
	c := deviceCredential(t, a, func(code string) error { shown <- code; return nil })
	ctx, failed := guarded(t), make(chan error, 1)
	go func() {
		_, err := get(ctx, c, "api://"+apiV2+"/read")
		failed <- err
	}()
	code := <-shown
	if err := a.WaitRequests(ctx, 1, entratest.Request{Code: 70016}); err != nil {
		t.Fatal(err)
	}
	if err := a.Decline(code); err != nil {
		t.Fatal(err)
	}
	// The SDK drops the body of the answer, so the code shows here only.
	if err := <-failed; err == nil || a.Count(entratest.Request{Code: 65004}) != 1 {
		t.Errorf("declined: %v", err)
	}
	if a.SignIn("NOBODY", ada) == nil {
		t.Error("a code nobody was shown was accepted")
	}
}

func TestDelegatedGrantsRefuse(t *testing.T) {
	t.Parallel()
	a := start(t, public)
	const device = "urn:ietf:params:oauth:grant-type:device_code"
	c := deviceCredential(t, a, func(code string) error { return a.SignIn(code, ada) })
	if _, err := get(guarded(t), c, "api://"+apiV2+"/nonesuch"); err == nil || !strings.Contains(err.Error(), "AADSTS650053") {
		t.Errorf("a scope the resource does not have: %v", err)
	}
	if _, err := c.GetToken(guarded(t), policy.TokenRequestOptions{Scopes: []string{vault + "/access_as_user", "api://" + apiV2 + "/read"}}); err == nil || !strings.Contains(err.Error(), "AADSTS28000") {
		t.Errorf("scopes of two resources: %v", err)
	}
	for name, form := range map[string]url.Values{
		"a device code nobody has":   {"grant_type": {device}, "device_code": {"x"}},
		"an empty device code":       {"grant_type": {device}, "device_code": {""}},
		"a refresh token nobody has": {"grant_type": {"refresh_token"}, "refresh_token": {"x"}},
	} {
		if code := post(t.Context(), t, a, tenant, secretForm(form)); code != 70000 {
			t.Errorf("%s: AADSTS%d, want AADSTS70000", name, code)
		}
	}
}

func TestCodesAndRefreshTokensBelongToOneClientOfAnyTenant(t *testing.T) {
	t.Parallel()
	const otherApp, otherTenant = apiV1, apiV2
	a := start(t, func(o *entratest.Options) {
		o.Tenants = append(o.Tenants, otherTenant)
		o.Clients = []entratest.Client{{ID: app, Public: true}, {ID: otherApp, Public: true}}
	})
	var begun struct {
		DeviceCode string `json:"device_code"`
		UserCode   string `json:"user_code"`
	}
	postJSON(t, a, tenant+"/oauth2/v2.0/devicecode", secretForm(nil), &begun)
	if err := a.SignIn(begun.UserCode, ada); err != nil {
		t.Fatal(err)
	}
	redeem := secretForm(url.Values{"grant_type": {"device_code"}, "device_code": {begun.DeviceCode}})
	foreign := secretForm(url.Values{"grant_type": {"device_code"}, "device_code": {begun.DeviceCode}, "client_id": {otherApp}})
	if code := post(t.Context(), t, a, tenant, foreign); code != 70000 {
		t.Errorf("another client with the device code: AADSTS%d", code)
	}
	var answered struct {
		Refresh string `json:"refresh_token"`
	}
	postJSON(t, a, tenant+"/oauth2/v2.0/token", redeem, &answered)
	refresh := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {answered.Refresh}}
	var elsewhere struct {
		Access string `json:"access_token"`
		Info   string `json:"client_info"`
	}
	postJSON(t, a, otherTenant+"/oauth2/v2.0/token", secretForm(refresh), &elsewhere)
	if claims, err := a.Validate(elsewhere.Access, apiV1); err != nil || claims["tid"] != otherTenant {
		t.Errorf("another tenant with the refresh token: %v, %v", claims, err)
	}
	if info, err := base64.RawURLEncoding.DecodeString(elsewhere.Info); err != nil || !strings.Contains(string(info), tenant) {
		t.Errorf("the account is %s (%v), and not of the tenant it signed in to", info, err)
	}
	if code := post(t.Context(), t, a, tenant, secretForm(refresh)); code != 0 {
		t.Errorf("the client itself: AADSTS%d", code)
	}
	refresh.Set("client_id", otherApp)
	if code := post(t.Context(), t, a, tenant, secretForm(refresh)); code != 70000 {
		t.Errorf("another client with the refresh token: AADSTS%d", code)
	}
}

func postJSON(t *testing.T, a *entratest.Authority, path string, form url.Values, into any) {
	t.Helper()
	resp, err := a.HTTPClient().PostForm(a.URL()+"/"+path, form)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: status %d, %v", path, resp.StatusCode, err)
	}
}

func TestConfidentialClientNeedsItsCredentialToSignPeopleIn(t *testing.T) {
	t.Parallel()
	a := start(t)
	c := deviceCredential(t, a, func(code string) error { return a.SignIn(code, ada) })
	if _, err := get(guarded(t), c, "api://"+apiV2+"/read"); err == nil || !strings.Contains(err.Error(), "AADSTS7000218") {
		t.Errorf("error %v, want AADSTS7000218", err)
	}
}
