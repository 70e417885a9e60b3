package source

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/entratest"
	"github.com/injectproxy/injectproxy/internal/token"
)

type kind struct {
	name    string
	use     func(*azure)
	managed bool
}

func kinds() []kind {
	return []kind{
		{"secret", (*azure).secret, false},
		{"workload identity", (*azure).workload, false},
		{"App Service", (*azure).appService, true},
		{"virtual machine", (*azure).machine, true},
	}
}

// other returns a token that nobody issued.
func other(t *testing.T) token.Token {
	t.Helper()
	tok, err := token.New("other", "test", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestEachCredentialYieldsATokenForTheScopeAsked(t *testing.T) {
	cloud := newAzure(t)
	for _, k := range kinds() {
		t.Run(k.name, func(t *testing.T) {
			c := cloud.in(t)
			k.use(c)
			for _, a := range []struct {
				entra           Entra
				scope, resource string
			}{
				{Entra{ClientID: api}, "api://" + api + "/.default", "api://" + api},
				{Entra{Resource: c.uri + "/"}, c.uri + "/.default", c.uri},
				{Entra{Scope: c.uri + "//.default"}, c.uri + "//.default", c.uri + "/"},
			} {
				// Forced, as an earlier test may have left its token in the
				// cache that managed identities have in common.
				got, err := c.source(a.entra).Token(t.Context(), token.Ask{Rejected: other(t)})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := c.Validate(got.Reveal(), api); err != nil {
					t.Error(err)
				}
				if got.Source() != "default" || time.Until(got.Expiry()) < 50*time.Minute {
					t.Errorf("source %q, expiry %v", got.Source(), got.Expiry())
				}
				want := a.scope
				if k.managed {
					want = a.resource
				}
				if r := c.asked(); r.Scope != want {
					t.Errorf("asked for %q, want %q", r.Scope, want)
				}
			}
		})
	}
}

func TestRefusedTokenIsReplacedByAnother(t *testing.T) {
	cloud := newAzure(t)
	for _, k := range kinds() {
		t.Run(k.name, func(t *testing.T) {
			c := cloud.in(t)
			k.use(c)
			scope := c.uri + "/.default"
			if k.name == "App Service" {
				scope = c.uri + "//.default" // the kinds of managed identity share a cache
			}
			src := c.source(Entra{Scope: scope})
			first, err := src.Token(t.Context(), token.Ask{})
			if err != nil {
				t.Fatal(err)
			}
			if again, err := src.Token(t.Context(), token.Ask{}); k.managed && !again.Equal(first) {
				t.Fatalf("azidentity has no cache to be passed by: %v, %v", again, err)
			}
			second, err := src.Token(t.Context(), token.Ask{Rejected: first})
			if err != nil {
				t.Fatal(err)
			}
			if second.Equal(first) {
				t.Error("the refused token came again")
			}
			if _, err := c.Validate(second.Reveal(), api); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestClaimsOfAChallengeReachTheAuthority(t *testing.T) {
	c := newAzure(t)
	c.secret()
	src := c.source(Entra{ClientID: api})
	const challenge = `{"access_token":{"nbf":{"essential":true,"value":"1700000000"}}}`
	first, err := src.Token(t.Context(), token.Ask{})
	if err != nil {
		t.Fatal(err)
	}
	if r := c.asked(); !strings.Contains(r.Claims, "xms_cc") {
		t.Errorf("claims %q do not say that challenges are understood", r.Claims)
	}
	second, err := src.Token(t.Context(), token.Ask{Rejected: first, Claims: challenge})
	if err != nil || second.Equal(first) {
		t.Errorf("got %v after %v, %v", second, first, err)
	}
	if r := c.asked(); !strings.Contains(r.Claims, "1700000000") || !strings.Contains(r.Claims, "xms_cc") {
		t.Errorf("claims %q", r.Claims)
	}
}

func TestTenantOfTheAudienceIsTheOneAsked(t *testing.T) {
	cloud := newAzure(t)
	for _, k := range kinds()[:2] {
		t.Run(k.name, func(t *testing.T) {
			c := cloud.in(t)
			k.use(c)
			if _, err := c.source(Entra{ClientID: api, Tenant: tenant2}).Token(t.Context(), token.Ask{}); err != nil {
				t.Fatal(err)
			}
			if r := c.asked(); r.Tenant != tenant2 {
				t.Errorf("asked tenant %q", r.Tenant)
			}
		})
	}
}

func TestUsersChoiceOfCredentialsStands(t *testing.T) {
	c := newAzure(t)
	c.secret()
	c.appService()
	for _, choice := range []string{"ManagedIdentityCredential", "EnvironmentCredential", "prod", ""} {
		t.Setenv(chainVariable, choice)
		if _, err := c.source(Entra{Resource: c.uri}).Token(t.Context(), token.Ask{}); err != nil {
			t.Fatal(err)
		}
		managed := c.asked().Endpoint == entratest.IdentityEndpoint
		if want := choice == "ManagedIdentityCredential"; managed != want {
			t.Errorf("%q: managed identity asked: %v", choice, managed)
		}
		if got, ok := os.LookupEnv(chainVariable); got != choice || !ok {
			t.Errorf("%q: the variable is %q now (set: %v)", choice, got, ok)
		}
	}
	t.Setenv(chainVariable, "managedidentitycredential")
	src := c.source(Entra{Resource: c.uri})
	first, err := src.Token(t.Context(), token.Ask{})
	if err != nil {
		t.Fatal(err)
	}
	if second, err := src.Token(t.Context(), token.Ask{Rejected: first}); err != nil || second.Equal(first) {
		t.Errorf("got %v after %v, %v", second, first, err)
	}

	unset(t, chainVariable)
	if _, err := c.source(Entra{ClientID: api}).Token(t.Context(), token.Ask{}); err != nil {
		t.Fatal(err)
	}
	if got, ok := os.LookupEnv(chainVariable); ok {
		t.Errorf("the variable was left behind as %q", got)
	}

	t.Setenv(chainVariable, canary)
	_, err = c.source(Entra{ClientID: api}).Token(t.Context(), token.Ask{})
	if e := wantError(t, err, token.Misconfigured); !strings.Contains(e.Hint, chainVariable) {
		t.Errorf("hint %q", e.Hint)
	}
}
