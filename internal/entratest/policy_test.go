package entratest_test

import (
	"net/url"
	"reflect"
	"testing"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

func TestConditionalAccessChallengesOneUserForOneAPI(t *testing.T) {
	t.Parallel()
	a := start(t, middle)
	c := secretClient(t, a)
	if err := a.RequireContext(ada.ObjectID, "api://"+apiV2, "c1"); err != nil {
		t.Fatal(err)
	}
	of := func(u entratest.User, claims map[string]any) string {
		return issue(t, a, entratest.Grant{Client: apiV1, User: &u, Claims: claims})
	}
	const read = "api://" + apiV2 + "/read"
	_, err := exchanged(t, a, c, of(ada, nil), read)
	got := refusal(t, err)
	if got.Error != "interaction_required" || got.SubError != "basic_action" || !reflect.DeepEqual(got.Codes, []int{50076}) || got.Claims != entratest.ContextClaims("c1") {
		t.Errorf("refused with %+v", got)
	}
	if _, err := exchanged(t, a, c, of(ada, map[string]any{"acrs": []string{"c2"}}), read); err == nil {
		t.Error("another authentication context passed")
	}
	if _, err := exchanged(t, a, c, of(bob, nil), read); err != nil {
		t.Errorf("another user: %v", err)
	}
	if code := post(t.Context(), t, a, tenant, behalfForm(of(ada, nil), url.Values{"scope": {vault + "/access_as_user"}})); code != 0 {
		t.Errorf("another API: AADSTS%d", code)
	}
	claims, err := exchanged(t, a, c, of(ada, map[string]any{"acrs": []string{"c1"}}), read)
	if err != nil || !reflect.DeepEqual(claims["acrs"], []any{"c1"}) {
		t.Errorf("with the authentication context: acrs %v, %v", claims["acrs"], err)
	}
	if err := a.RequireContext(ada.ObjectID, apiV2, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := exchanged(t, a, c, of(ada, nil), read); err != nil {
		t.Errorf("once the demand has ended: %v", err)
	}
	if err := a.RequireContext("", apiV2, "c1"); err != nil {
		t.Fatal(err)
	}
	if _, err := exchanged(t, a, c, of(bob, nil), read); err == nil {
		t.Error("what everybody needs was not asked of Bob")
	}
	if a.RequireContext(ada.ObjectID, "https://nonesuch.example", "c1") == nil {
		t.Error("a resource that is not there was accepted")
	}
}

func TestClaimsParameterDecidesTheAuthenticationContext(t *testing.T) {
	t.Parallel()
	a := start(t, middle, public)
	var begun struct {
		DeviceCode string `json:"device_code"`
		UserCode   string `json:"user_code"`
	}
	postJSON(t, a, tenant+"/oauth2/v2.0/devicecode", secretForm(nil), &begun)
	if err := a.SignIn(begun.UserCode, ada); err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	request := func(form url.Values, claims string) any {
		t.Helper()
		form.Set("claims", claims)
		postJSON(t, a, tenant+"/oauth2/v2.0/token", form, &answer)
		got, err := a.Validate(answer.Access, apiV1)
		if err != nil {
			t.Fatal(err)
		}
		return got["acrs"]
	}
	c1 := entratest.ContextClaims("c1")
	device := func() url.Values {
		return secretForm(url.Values{"grant_type": {"device_code"}, "device_code": {begun.DeviceCode}})
	}
	refresh := func() url.Values {
		return secretForm(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {answer.Refresh}})
	}
	behalf := func() url.Values {
		assertion := issue(t, a, entratest.Grant{Client: apiV2, User: &ada, Claims: map[string]any{"acrs": []string{"c3"}}})
		return behalfForm(assertion, url.Values{"scope": {"api://" + apiV1 + "/access_as_user"}})
	}
	for _, tt := range []struct {
		name, claims string
		form         url.Values
		want         any
	}{
		{"device code", c1, device(), []any{"c1"}},
		{"client credentials", c1, secretForm(nil), []any{"c1"}},
		{"several values", `{"access_token":{"acrs":{"values":["c2","c1","c1"]},"xms_cc":{"values":["cp1"]}}}`, secretForm(nil), []any{"c1", "c2"}},
		{"on behalf of", c1, behalf(), []any{"c1", "c3"}},
		{"capabilities alone", `{"access_token":{"xms_cc":{"values":["cp1"]}}}`, secretForm(nil), nil},
		{"what cannot be read", `{"access_token":{"acrs":7}}`, secretForm(nil), nil},
	} {
		if got := request(tt.form, tt.claims); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: acrs %v, want %v", tt.name, got, tt.want)
		}
		if tt.name == "device code" {
			if got := request(refresh(), c1); !reflect.DeepEqual(got, []any{"c1"}) {
				t.Errorf("refresh: acrs %v", got)
			}
		}
	}
}
