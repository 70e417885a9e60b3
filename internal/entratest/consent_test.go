package entratest_test

import (
	"reflect"
	"testing"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

func TestOnBehalfOfNeedsConsent(t *testing.T) {
	t.Parallel()
	a := start(t, middle, func(o *entratest.Options) {
		o.Clients[0].Consents = []entratest.Consent{
			{Resource: "api://" + apiV2, Scopes: []string{"read"}, User: ada.ObjectID},
			{Resource: apiV1, Scopes: []string{"access_as_user", "write"}},
		}
	})
	c := secretClient(t, a)
	attempt := func(u entratest.User, scopes ...string) (any, error) {
		claims, err := exchanged(t, a, c, issue(t, a, entratest.Grant{Client: apiV1, User: &u}), scopes...)
		return claims["scp"], err
	}
	const read, write, all = "api://" + apiV2 + "/read", "api://" + apiV2 + "/write", "api://" + apiV2 + "/.default"
	for _, tt := range []struct {
		name   string
		user   entratest.User
		scopes []string
		want   any // nil: consent is missing
	}{
		{"what the user consented to", ada, []string{read}, "read"},
		{"more than that", ada, []string{read, write}, nil},
		{"all that the user consented to", ada, []string{all}, "read"},
		{"what another user consented to", bob, []string{read}, nil},
		{"all, where that is nothing", bob, []string{all}, nil},
	} {
		got, err := attempt(tt.user, tt.scopes...)
		if got != tt.want {
			t.Errorf("%s: scp %v, want %v (%v)", tt.name, got, tt.want, err)
		}
		if tt.want == nil {
			if said := refusal(t, err); said.SubError != "consent_required" || !reflect.DeepEqual(said.Codes, []int{65001}) {
				t.Errorf("%s: refused with %+v", tt.name, said)
			}
		}
	}
	if err := a.SetConsents(app, []entratest.Consent{{Resource: apiV2, Scopes: []string{"read", "write"}}}); err != nil {
		t.Fatal(err)
	}
	if got, err := attempt(bob, all); got != "read write" {
		t.Errorf("after an administrator's consent: scp %v, %v", got, err)
	}
	if err := a.SetConsents(app, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := attempt(bob, write); got != "write" {
		t.Errorf("with consent to everything: scp %v, %v", got, err)
	}
	if err := a.SetConsents(app, []entratest.Consent{}); err != nil {
		t.Fatal(err)
	}
	if got, err := attempt(bob, write); err == nil {
		t.Errorf("with consent to nothing: scp %v", got)
	}
}

func TestConsentIsToWhatIsThere(t *testing.T) {
	t.Parallel()
	nonesuch := []entratest.Consent{{Resource: "https://nonesuch.example"}}
	a := start(t)
	if a.SetConsents(app, nonesuch) == nil {
		t.Error("a resource that is not there was accepted")
	}
	if a.SetConsents(apiV2, nil) == nil {
		t.Error("a client that is not there was accepted")
	}
	if other, err := entratest.Start(entratest.Options{Tenants: []string{tenant}, Clients: []entratest.Client{{ID: app, Consents: nonesuch}}}); err == nil {
		t.Error("it was accepted at the start", other.Close())
	}
}
