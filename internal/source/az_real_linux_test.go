package source

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/entratest"
	"github.com/injectproxy/injectproxy/internal/token"
)

// TestRealAz follows one person through their day. Its parts need the sign-in
// of the parts before them: az takes half a second to start.
func TestRealAz(t *testing.T) {
	t.Parallel()
	u := newAzCloud(t).user(t)
	gateway := u.az(Entra{ClientID: api, Tenant: tenant})
	const command = "az login --tenant " + tenant + " --scope api://" + api + "/.default --allow-no-subscriptions"

	t.Run("says that nobody is signed in", func(t *testing.T) {
		u := u.in(t)
		_, err := gateway.Token(guard(t), token.Ask{})
		e := wantError(t, err, token.SignIn)
		if e.Hint != command || e.Code != "" || e.Stale() {
			t.Errorf("hint %q, code %q, stale: %v", e.Hint, e.Code, e.Stale())
		}

		declined := wantError(t, u.signIn(gateway, "", u.Decline), token.Declined)
		if declined.Hint != command || e.Stale() {
			t.Errorf("declined: hint %q; the first error is stale: %v", declined.Hint, e.Stale())
		}

		if err := u.signIn(gateway, "", u.asAda); err != nil {
			t.Fatal(err)
		}
		if !e.Stale() || !declined.Stale() {
			t.Error("a sign-in makes no error stale")
		}
	})
	if t.Failed() {
		t.FailNow()
	}

	t.Run("yields a token for the audience asked", func(t *testing.T) {
		u := u.in(t)
		tok, err := gateway.Token(guard(t), token.Ask{})
		if c := u.wantClaims(tok, err, api); c["aud"] != api || c["oid"] != ada.ObjectID || c["tid"] != tenant || c["scp"] != "access_as_user" {
			t.Errorf("claims %v", c)
		}
		// The slash that somebody wrote is not for the API.
		tok, err = u.az(Entra{Resource: apiURI + "/", Tenant: tenant}).Token(guard(t), token.Ask{})
		if c := u.wantClaims(tok, err, apiURI); c["aud"] != apiURI || u.lastScope() != apiURI+"/.default" {
			t.Errorf("aud %v, asked for %q", c["aud"], u.lastScope())
		}
		// Nobody has signed in there: that of the first tenant serves.
		tok, err = u.az(Entra{ClientID: api, Tenant: tenant2}).Token(guard(t), token.Ask{})
		if c := u.wantClaims(tok, err, api); c["tid"] != tenant2 {
			t.Errorf("tenant %v", c["tid"])
		}
	})

	t.Run("has no other token until somebody signs in", func(t *testing.T) {
		u := u.in(t)
		first, err := gateway.Token(guard(t), token.Ask{})
		u.wantClaims(first, err, api)
		_, err = gateway.Token(guard(t), token.Ask{Rejected: first})
		same := wantError(t, err, token.SignIn)
		if !errors.Is(err, token.ErrSame) || same.Hint != command || same.Stale() {
			t.Errorf("%v: hint %q, stale: %v", err, same.Hint, same.Stale())
		}
		const challenge = `{"access_token":{"nbf":{"essential":true,"value":"1700000000"}}}`
		_, err = gateway.Token(guard(t), token.Ask{Rejected: first, Claims: challenge})
		if e := wantError(t, err, token.SignIn); errors.Is(err, token.ErrSame) || e.Hint != gateway.Command(challenge) {
			t.Errorf("%v: hint %q", err, e.Hint)
		}

		// Another process of the same user; an az that is too old for claims
		// signs in without them.
		if err := u.signIn(u.az(Entra{ClientID: api, Tenant: tenant}), challenge, u.asAda); err != nil {
			t.Fatal(err)
		}
		if !same.Stale() {
			t.Error("a sign-in elsewhere does not make the error stale")
		}
		second, err := gateway.Token(guard(t), token.Ask{Rejected: first})
		if u.wantClaims(second, err, api); second.Equal(first) {
			t.Error("the sign-in gave the same token again")
		}
	})

	t.Run("leaves nothing behind when it hangs", u.hangs)
	for _, f := range realFailures() {
		t.Run("reports "+f.name, func(t *testing.T) { u.in(t).fails(f) })
	}
}

// in returns u for a subtest.
func (u *azUser) in(t *testing.T) *azUser {
	return &azUser{azCloud: u.azCloud, t: t, dir: u.dir, env: u.env}
}

// hangs cancels a token while az waits for the authority.
func (u *azUser) hangs(t *testing.T) {
	u = u.in(t)
	defer u.Fail(entratest.Failure{Endpoint: entratest.TokenEndpoint, Hang: true})()
	const scope = apiURI + "//.default" // that there is no token of yet
	asked := entratest.Request{Endpoint: entratest.TokenEndpoint, Scope: scope}
	ctx, failed := guard(t), make(chan error, 1)
	cancelled, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, err := u.az(Entra{Scope: scope, Tenant: tenant}).Token(cancelled, token.Ask{})
		failed <- err
	}()
	if err := u.WaitRequests(ctx, 1, asked); err != nil {
		t.Fatal(err)
	}
	running := u.processes()
	if len(running) == 0 {
		t.Error("az does not run")
	}
	for _, dir := range running {
		if env := string(read(dir + "/environ")); strings.Contains(env, canary) || !strings.Contains(env, "HTTPS_PROXY="+u.ProxyURL()) {
			t.Error("az does not see the environment it should")
		}
	}
	cancel()
	select {
	case err := <-failed:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want it to be cancelled", err)
		}
	case <-ctx.Done():
		t.Fatal("az goes on")
	}
	if left := u.processes(); len(left) > 0 {
		t.Errorf("az has left processes behind: %v", left)
	}
	if err := u.WaitIdle(ctx, asked); err != nil {
		t.Error(err)
	}
}

// realFailure is one that az reports in its own words.
type realFailure struct {
	name    string
	entra   Entra
	set     []string // variables
	failure entratest.Failure
	class   token.Class
	code    string
	hint    string // contained
}

func realFailures() []realFailure {
	models := Entra{Scope: apiURI + "//.default", Tenant: tenant} // as above
	aadsts := entratest.AADSTS
	return []realFailure{
		{name: "a sign-in that is over", entra: models, failure: aadsts(70043), class: token.SignIn, code: "AADSTS70043", hint: "az login --tenant " + tenant},
		{name: "a second factor that is due", entra: models, failure: aadsts(50076), class: token.SignIn, code: "AADSTS50076", hint: "az login"},
		{name: "missing consent", entra: models, failure: aadsts(65001), class: token.Consent, code: "AADSTS65001", hint: azureCLI},
		{name: "a policy", entra: models, failure: aadsts(53003), class: token.Policy, code: "AADSTS53003", hint: "administrator"},
		{name: "an API that the tenant does not know", entra: Entra{ClientID: client, Tenant: tenant}, class: token.Misconfigured, code: "AADSTS500011", hint: "resource"},
		{name: "a tenant that does not exist", entra: Entra{ClientID: api, Tenant: machine}, class: token.Misconfigured, code: "AADSTS90002", hint: "tenant"},
		{name: "a busy authority", entra: models, failure: aadsts(90033), class: token.Transient, hint: tryLater},
		{name: "a failure that nobody has heard of", entra: models, failure: aadsts(999999), class: token.Unknown, code: "AADSTS999999", hint: "999999"},
		{name: "a certificate that is not trusted", entra: models, set: []string{"REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt"}, class: token.Misconfigured, hint: "upstream_ca"},
		{name: "a proxy that is not there", entra: models, set: []string{"HTTPS_PROXY=http://127.0.0.1:1"}, class: token.Transient, hint: checkRoute},
	}
}

func (u *azUser) fails(f realFailure) {
	t := u.t
	if f.failure.Code != 0 {
		defer u.Fail(f.failure)()
	}
	u.forget()
	u.env = append(u.env[:len(u.env):len(u.env)], f.set...)
	_, err := u.az(f.entra).Token(guard(t), token.Ask{})
	if e := wantError(t, err, f.class); e.Code != f.code || !strings.Contains(e.Hint, f.hint) || e.Source != "az" {
		t.Errorf("code %q, hint %q, source %q", e.Code, e.Hint, e.Source)
	}
}

func TestRealAzSignsInWhereNoTenantIsNamed(t *testing.T) {
	t.Parallel()
	u := newAzCloud(t).user(t)
	a := u.az(Entra{ClientID: api})
	if err := u.signIn(a, "", u.asAda); err != nil {
		t.Fatal(err)
	}
	tok, err := a.Token(guard(t), token.Ask{})
	if c := u.wantClaims(tok, err, api); c["tid"] != tenant {
		t.Errorf("tenant %v", c["tid"])
	}
	// What it was signed in with is lost: the words are az's, there is no code.
	if err := os.Remove(filepath.Join(u.dir, "msal_token_cache.json")); err != nil {
		t.Fatal(err)
	}
	_, err = a.Token(guard(t), token.Ask{})
	if e := wantError(t, err, token.SignIn); e.Hint != "az login --scope api://"+api+"/.default --allow-no-subscriptions" {
		t.Errorf("hint %q", e.Hint)
	}
}

func TestRealAzAsAnApplication(t *testing.T) {
	t.Parallel()
	u := newAzCloud(t).user(t)
	u.run("login", "--service-principal", "--username", client, "--password", canary, "--tenant", tenant, "--allow-no-subscriptions", "--output", "none")
	tok, err := u.az(Entra{ClientID: api, Tenant: tenant}).Token(guard(t), token.Ask{})
	if c := u.wantClaims(tok, err, api); c["idtyp"] != "app" || c["azp"] != client {
		t.Errorf("claims %v", c)
	}
	defer u.Fail(entratest.AADSTS(7000222))()
	_, err = u.az(Entra{Resource: apiURI, Tenant: tenant}).Token(guard(t), token.Ask{})
	if e := wantError(t, err, token.Misconfigured); e.Code != "AADSTS7000222" || !strings.Contains(e.Hint, "az login --service-principal") {
		t.Errorf("code %q, hint %q", e.Code, e.Hint)
	}
}
