package source

import (
	"context"
	"regexp"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/entratest"
	"github.com/injectproxy/injectproxy/internal/token"
)

const api2 = "58348f96-645d-4a2e-8c1d-000000000002"

var grace = entratest.User{ObjectID: "88888888-8888-4888-8888-888888888888", Username: "grace@corp.example", Name: "Grace"}

// desk is where somebody signs in, with a home of their own.
type desk struct {
	*azure
	home     string
	sessions *Sessions
}

func newDesk(t *testing.T, edit ...func(*entratest.Options)) *desk {
	t.Helper()
	o := entratest.Options{
		Tenants:   []string{tenant, tenant2},
		Clients:   []entratest.Client{{ID: azureCLI, Public: true}},
		Resources: []entratest.Resource{{ID: api, Version: 2, Scopes: []string{"use"}}, {ID: api2, Version: 2, Scopes: []string{"use"}}},
	}
	for _, e := range edit {
		e(&o)
	}
	a, err := entratest.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return (&desk{azure: &azure{Authority: a}}).in(t)
}

// in returns d for a subtest, with nobody signed in and nothing wrong.
func (d *desk) in(t *testing.T) *desk {
	t.Helper()
	d = &desk{azure: d.azure.in(t), home: t.TempDir(), sessions: NewSessions("", nil)}
	t.Setenv("HOME", d.home)
	t.Setenv("XDG_CACHE_HOME", "")
	return d
}

func (d *desk) options() PersonOptions {
	return PersonOptions{
		DefaultOptions: DefaultOptions{AuthorityHost: d.URL(), DisableInstanceDiscovery: true, Transport: d.transport()},
		Sessions:       d.sessions,
		Login:          "injectproxy login gateway",
	}
}

func (d *desk) person(make func(Entra, PersonOptions) (*Person, error), e Entra) *Person {
	d.t.Helper()
	return d.personWith(make, e, d.options())
}

func (d *desk) personWith(make func(Entra, PersonOptions) (*Person, error), e Entra, o PersonOptions) *Person {
	d.t.Helper()
	p, err := make(e, o)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(p.Close)
	p.limit = time.Minute // that of the tests is their own
	return p
}

var shownCode = regexp.MustCompile(`enter the code ([0-9A-Z]+)$`)

// attend returns somebody who does what they are told.
func (d *desk) attend(user entratest.User) func(string) {
	return func(message string) {
		code := shownCode.FindStringSubmatch(message)
		if code == nil {
			d.t.Errorf("nobody can sign in by %q", message)
			return
		}
		if err := d.SignIn(code[1], user); err != nil {
			d.t.Error(err)
		}
	}
}

// signedIn returns the source of e's tokens for Grace.
func (d *desk) signedIn(e Entra) *Person {
	d.t.Helper()
	p := d.person(NewDeviceCode, e)
	if err := p.SignIn(guarded(d.t), "", d.attend(grace)); err != nil {
		d.t.Fatal(err)
	}
	return p
}

func guarded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func (d *desk) wantToken(p *Person, ask token.Ask, audience string) token.Token {
	d.t.Helper()
	got, err := p.Token(guarded(d.t), ask)
	if err != nil {
		d.t.Fatal(err)
	}
	claims, err := d.Validate(got.Reveal(), audience)
	if err != nil || claims["oid"] != grace.ObjectID {
		d.t.Fatalf("the token says %v, %v", claims, err)
	}
	return got
}

func nobodyIsTold(t *testing.T) func(string) {
	return func(message string) { t.Errorf("somebody is told %q", message) }
}
