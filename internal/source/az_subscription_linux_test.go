package source

import (
	"path/filepath"
	"testing"

	"github.com/injectproxy/injectproxy/internal/token"
)

func TestRealAzKeepsItsDefaultSubscription(t *testing.T) {
	t.Parallel()
	for name, subscribed := range map[string][]string{"of two": {tenant, tenant2}, "beside a tenant without one": {tenant}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newAzCloud(t, subscribed...).user(t)
			path := filepath.Join(u.dir, "azureProfile.json")
			if err := u.signIn(u.az(Entra{ClientID: api, Tenant: tenant}), "", u.asAda); err != nil {
				t.Fatal(err)
			}
			former := readProfile(path).byDefault()
			if former == "" || former == tenant {
				t.Fatalf("the default subscription is %q", former)
			}
			second := u.az(Entra{ClientID: api, Tenant: tenant2})
			asGrace := func(code string) error { return u.SignIn(code, grace) }
			if err := u.signIn(second, "", asGrace); err != nil {
				t.Fatal(err)
			}
			p := readProfile(path)
			if got := p.byDefault(); got != former || len(p.Subscriptions) != 2 {
				t.Errorf("the default subscription of %+v is not %s", p, former)
			}
			tok, err := second.Token(guard(t), token.Ask{})
			if c := u.wantClaims(tok, err, api); c["tid"] != tenant2 {
				t.Errorf("tenant %v", c["tid"])
			}
		})
	}
}
