package source

import (
	"slices"
	"strings"
	"testing"

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
	_, err := k.person(NewDeviceCode, Entra{ClientID: api, Tenant: tenant2}).Token(guarded(t), token.Ask{})
	wantError(t, err, token.SignIn)
	if n := k.signInCount(); n != 1 || k.log.Len() > 0 {
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
