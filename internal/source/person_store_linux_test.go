package source

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/injectproxy/injectproxy/internal/entratest"
	"github.com/injectproxy/injectproxy/internal/token"
)

func TestSignInOutlivesTheProcess(t *testing.T) {
	k := newKeeper(t)
	k.signedIn(Entra{ClientID: api, Tenant: tenant})
	k.restart()
	p := k.person(NewDeviceCode, Entra{ClientID: api, Tenant: tenant})
	first := k.wantToken(p, token.Ask{}, api)
	if second := k.wantToken(p, token.Ask{Rejected: first}, api); second.Equal(first) {
		t.Error("the refused token came again")
	}
	k.wantToken(k.person(NewBrowser, Entra{ClientID: api2, Tenant: tenant}), token.Ask{}, api2)
	for _, e := range []Entra{{ClientID: api, Tenant: tenant2}, {ClientID: api}} {
		_, err := k.person(NewDeviceCode, e).Token(guarded(t), token.Ask{})
		wantError(t, err, token.SignIn)
	}
	k.signedIn(Entra{ClientID: api})
	k.restart()
	k.wantToken(k.person(NewDeviceCode, Entra{ClientID: api}), token.Ask{}, api)
	if n := k.signInCount(); n != 2 || k.log.Len() > 0 {
		t.Errorf("%d sign-ins; logged: %s", n, k.log.String())
	}
}

func TestSignInOfAnotherProcessIsNoticed(t *testing.T) {
	k := newKeeper(t)
	p := k.person(NewDeviceCode, Entra{ClientID: api, Tenant: tenant})
	for range 2 { // the second finds the first one's traces
		k.Fail(entratest.AADSTS(70043))
		_, err := p.Token(guarded(t), token.Ask{Rejected: other(t)})
		e := wantError(t, err, token.SignIn)
		if e.Stale() {
			t.Error("somebody is thought to have signed in")
		}
		k.Clear()
		if said, stderr := k.elsewhere(k.home); !slices.Equal(said, []string{"signed in: <nil>", "token: <nil>"}) || stderr != "" {
			t.Fatalf("the other process said %q, %s", said, stderr)
		}
		if !e.Stale() {
			t.Error("the other process's sign-in is not noticed")
		}
		k.wantToken(p, token.Ask{}, api)
		k.wantToken(p, token.Ask{Rejected: other(t)}, api)
	}
}

func TestSystemWithoutAStoreKeepsSignInsInMemory(t *testing.T) {
	k := newKeeper(t)
	said, stderr := k.elsewhere("/dev/null")
	if !slices.Equal(said, []string{"signed in: <nil>", "token: <nil>"}) {
		t.Errorf("said %q", said)
	}
	if strings.Count(stderr, "kept in memory") != 1 {
		t.Errorf("logged %s", stderr)
	}
	if files := k.records(); len(files) > 0 {
		t.Errorf("%v would have another process believe that somebody has signed in", files)
	}
	_, err := k.person(NewDeviceCode, Entra{ClientID: api, Tenant: tenant}).Token(guarded(t), token.Ask{})
	wantError(t, err, token.SignIn)
}

func TestWithoutAStoreTheRemedyIsNoSignInElsewhere(t *testing.T) {
	k := newKeeper(t)
	k.sessions.store = func() (azidentity.Cache, bool) { return azidentity.Cache{}, false }
	p := k.person(NewDeviceCode, Entra{ClientID: api, Tenant: tenant})
	if p.Kept() {
		t.Error("a sign-in is said to outlive the process")
	}
	_, err := p.Token(guarded(t), token.Ask{})
	if e := wantError(t, err, token.SignIn); strings.Contains(e.Hint, "injectproxy login") || !strings.Contains(e.Hint, `login = "auto"`) {
		t.Errorf("hint %q", e.Hint)
	}
	kept := newKeeper(t).person(NewDeviceCode, Entra{ClientID: api, Tenant: tenant})
	if !kept.Kept() {
		t.Error("a sign-in is said to end with the process")
	}
}

func TestSignInElsewhereReplacesTheAccount(t *testing.T) {
	k := newKeeper(t)
	p := k.signedIn(Entra{ClientID: api, Tenant: tenant})
	k.wantToken(p, token.Ask{}, api)
	hopper := entratest.User{ObjectID: "99999999-9999-4999-8999-999999999999", Username: "hopper@corp.example", Name: "Hopper"}
	k.sessions = newSessions(k.dir, k.name, nil)
	if err := k.person(NewDeviceCode, Entra{ClientID: api2, Tenant: tenant}).SignIn(guarded(t), "", k.attend(hopper)); err != nil {
		t.Fatal(err)
	}
	got, err := p.Token(guarded(t), token.Ask{})
	if err != nil {
		t.Fatal(err)
	}
	if claims, err := k.Validate(got.Reveal(), api); err != nil || claims["oid"] != hopper.ObjectID {
		t.Errorf("the token is that of %v, %v", claims["oid"], err)
	}
}

func TestPublicCloudConfirmsItselfAndIsNotTakenForASession(t *testing.T) {
	k := newKeeper(t, func(o *entratest.Options) { o.Public = true })
	o := PersonOptions{DefaultOptions: DefaultOptions{Transport: k.HTTPClient().Transport.(*http.Transport)}, Sessions: k.sessions}
	p := k.personWith(NewDeviceCode, Entra{ClientID: api, Tenant: tenant}, o)
	if err := p.SignIn(guarded(t), "", k.attend(grace)); err != nil {
		t.Fatal(err)
	}
	k.wantToken(p, token.Ask{}, api)
	if err := os.RemoveAll(filepath.Join(k.home, ".cache", ".IdentityService")); err != nil {
		t.Fatal(err)
	}
	before := len(k.Requests())
	k.restart()
	o.Sessions = k.sessions
	_, err := k.personWith(NewDeviceCode, Entra{ClientID: api, Tenant: tenant}, o).Token(guarded(t), token.Ask{})
	wantError(t, err, token.SignIn)
	if asked := k.Requests()[before:]; len(asked) == 0 || asked[0].Endpoint != entratest.DiscoveryEndpoint {
		t.Errorf("the authority is not confirmed: %v", asked)
	}
}
