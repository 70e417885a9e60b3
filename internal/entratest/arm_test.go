package entratest_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

const unpaid = "66666666-6666-4666-8666-666666666666" // a tenant without a subscription

type listing struct {
	Value []struct{ TenantID, SubscriptionID string }
	Error struct{ Code string }
}

func TestResourceManagerListsWhatATokenOfItsOwnMaySee(t *testing.T) {
	t.Parallel()
	a := start(t, func(o *entratest.Options) {
		o.Tenants, o.Subscribed = append(o.Tenants, unpaid), []string{tenant}
		o.Resources = append(o.Resources, entratest.ARM())
	})
	token := func(tenant, audience string) string {
		value, err := a.Issue(entratest.Grant{Tenant: tenant, Client: app, Audience: audience, User: &ada})
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	const arm = "https://management.core.windows.net/"
	for _, test := range []struct {
		name, path, bearer string
		status, listed     int
	}{
		{"tenants", "/tenants", token(tenant, arm), http.StatusOK, 2},
		{"subscriptions", "/subscriptions", token(tenant, arm), http.StatusOK, 1},
		{"subscriptions of a tenant without", "/subscriptions", token(unpaid, arm), http.StatusOK, 0},
		{"another API's token", "/subscriptions", token(tenant, vault), http.StatusUnauthorized, 0},
		{"no token", "/tenants", "", http.StatusUnauthorized, 0},
	} {
		var got listing
		status := fetch(t, a, test.bearer, a.URL()+test.path+"?api-version=2019-11-01", &got)
		if status != test.status || len(got.Value) != test.listed || (got.Error.Code == "") != (status == http.StatusOK) {
			t.Errorf("%s: status %d, %v", test.name, status, got)
		}
	}
	if n := a.Count(entratest.Request{Endpoint: entratest.ARMEndpoint, Status: http.StatusUnauthorized}); n != 2 {
		t.Errorf("%d refusals were recorded, want 2", n)
	}
}

func TestResourceManagerThatIsNotRegisteredRefuses(t *testing.T) {
	t.Parallel()
	a := start(t)
	bearer, err := a.Issue(entratest.Grant{Client: app, Audience: vault, User: &ada})
	if err != nil {
		t.Fatal(err)
	}
	var got listing
	if status := fetch(t, a, bearer, a.URL()+"/tenants", &got); status != http.StatusUnauthorized {
		t.Errorf("status %d, %v", status, got)
	}
}

func TestWhoeverSignsInDecidesTheTenantWhereNoneIsNamed(t *testing.T) {
	t.Parallel()
	for _, any := range []string{"organizations", "common"} {
		a := start(t, public, func(o *entratest.Options) { o.Tenants = append(o.Tenants, unpaid) })
		var begun struct {
			DeviceCode string `json:"device_code"`
			UserCode   string `json:"user_code"`
		}
		postJSON(t, a, any+"/oauth2/v2.0/devicecode", secretForm(nil), &begun)
		if err := a.SignIn(begun.UserCode, ada); err != nil {
			t.Fatal(err)
		}
		var got struct {
			Access string `json:"access_token"`
		}
		// As RFC 8628 has it, without a scope: that of the beginning counts.
		postJSON(t, a, any+"/oauth2/v2.0/token", url.Values{
			"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "client_id": {app}, "device_code": {begun.DeviceCode},
		}, &got)
		if claims, err := a.Validate(got.Access, apiV1); err != nil || claims["tid"] != tenant {
			t.Errorf("%s: %v, %v", any, claims, err)
		}
		if code := post(t.Context(), t, a, any, secretForm(nil)); code != 50059 {
			t.Errorf("%s: an application got AADSTS%d, want AADSTS50059", any, code)
		}
		var found struct{ Issuer string }
		fetch(t, a, "", a.URL()+"/"+any+"/v2.0/.well-known/openid-configuration", &found)
		if want := a.URL() + "/{tenantid}/v2.0"; found.Issuer != want {
			t.Errorf("issuer %q, want %q", found.Issuer, want)
		}
	}
}
