package source

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/entratest"
	"github.com/injectproxy/injectproxy/internal/token"
)

// desktop makes script what opens a page in a browser; "" is a machine without
// one.
func (d *desk) desktop(script string) {
	d.t.Helper()
	path := d.t.TempDir()
	d.t.Setenv("PATH", path)
	if script == "" {
		return
	}
	write(d.t, filepath.Join(path, "xdg-open"), "#!/bin/sh\n"+script+"\n")
	if err := os.Chmod(filepath.Join(path, "xdg-open"), 0o700); err != nil {
		d.t.Fatal(err)
	}
}

// play returns a script that has the test binary play a part, with the page as
// the last argument.
func play(args ...string) string {
	return actor + "=1 " + quick + " exec '" + os.Args[0] + "' '" + strings.Join(args, "' '") + `' "$1"`
}

// browser gives d a browser that trusts its authority.
func (d *desk) browser() {
	d.t.Helper()
	ca := filepath.Join(d.t.TempDir(), "ca.pem")
	write(d.t, ca, string(d.CAPEM()))
	d.desktop(play("browse", ca))
}

func TestSignInByBrowser(t *testing.T) {
	d := newDesk(t)
	d.browser()
	d.Browse(grace)
	p := d.person(NewBrowser, Entra{ClientID: api, Tenant: tenant})
	_, err := p.Token(guarded(t), token.Ask{})
	wantError(t, err, token.SignIn)
	var told []string
	const challenge = `{"access_token":{"acrs":{"essential":true,"value":"c1"}}}`
	if err := p.SignIn(guarded(t), challenge, func(m string) { told = append(told, m) }); err != nil {
		t.Fatal(err)
	}
	if len(told) != 1 || !strings.Contains(told[0], "browser") || !strings.Contains(told[0], tenant) || !strings.Contains(told[0], "device-code") {
		t.Errorf("told %q", told)
	}
	first := d.wantToken(p, token.Ask{}, api)
	if second := d.wantToken(p, token.Ask{Rejected: first}, api); second.Equal(first) || second.Source() != "browser" {
		t.Errorf("got %v after %v from %q", second, first, second.Source())
	}
	if n := d.Count(entratest.Request{Grant: "refresh_token", Status: 200}); n != 1 {
		t.Errorf("%d refreshes", n)
	}
	for _, r := range d.Requests() {
		if r.Tenant != tenant || r.Endpoint == entratest.AuthorizeEndpoint && !strings.Contains(r.Claims, `"acrs"`) {
			t.Errorf("%s: tenant %q, claims %q", r.Endpoint, r.Tenant, r.Claims)
		}
	}
}

func TestTokenOpensNoBrowser(t *testing.T) {
	d := newDesk(t)
	d.browser()
	d.Browse(grace)
	p := d.person(NewBrowser, Entra{ClientID: api, Tenant: tenant})
	if err := p.SignIn(guarded(t), "", func(string) {}); err != nil {
		t.Fatal(err)
	}
	d.FailNext(1, entratest.AADSTS(50076))
	_, err := p.Token(guarded(t), token.Ask{Rejected: other(t)})
	wantError(t, err, token.SignIn)
	if n := d.Count(entratest.Request{Endpoint: entratest.AuthorizeEndpoint}); n != 1 {
		t.Errorf("a browser was opened %d times, want once", n)
	}
}

func TestSignInByBrowserWithoutATenant(t *testing.T) {
	d := newDesk(t)
	d.browser()
	d.Browse(grace)
	p := d.person(NewBrowser, Entra{ClientID: api})
	if err := p.SignIn(guarded(t), "", func(string) {}); err != nil {
		t.Fatal(err)
	}
	d.wantToken(p, token.Ask{Rejected: other(t)}, api)
}

func TestSignInByBrowserThatFailsHasItsClass(t *testing.T) {
	cloud := newDesk(t)
	back := func(f entratest.Failure) func(*desk) {
		f.Endpoint = entratest.AuthorizeEndpoint
		return func(d *desk) {
			d.browser()
			d.Fail(f)
		}
	}
	for name, tt := range map[string]struct {
		set   func(*desk)
		class token.Class
		code  string
	}{
		"declined": {func(d *desk) {
			d.browser()
			d.BrowseAndDecline()
		}, token.Declined, "AADSTS65004"},
		"cancelled, without a code":     {back(entratest.Failure{Status: 400, Error: "access_denied", Description: "the user canceled the authentication"}), token.Declined, ""},
		"declined, without a code":      {back(entratest.Failure{Status: 400, Error: "access_denied", Description: "The resource owner declined"}), token.Declined, ""},
		"denied, without a code":        {back(entratest.Failure{Status: 400, Error: "access_denied", Description: "Access was Denied"}), token.Declined, ""},
		"policy":                        {back(entratest.AADSTS(53003)), token.Policy, "AADSTS53003"},
		"consent":                       {back(entratest.AADSTS(90094)), token.Consent, "AADSTS90094"},
		"unknown code":                  {back(entratest.Failure{Code: 999999, Description: canary + " az login"}), token.Unknown, "AADSTS999999"},
		"nothing that can be made out":  {back(entratest.Failure{Status: 400, Description: canary}), token.Unknown, ""},
		"no browser":                    {func(d *desk) { d.desktop("") }, token.NotInstalled, ""},
		"browser that cannot be opened": {func(d *desk) { d.desktop("exit 3") }, token.NotInstalled, ""},
		"code that is not redeemed": {func(d *desk) {
			d.browser()
			d.Browse(grace)
			d.Fail(entratest.AADSTS(50105))
		}, token.Misconfigured, "AADSTS50105"},
	} {
		t.Run(name, func(t *testing.T) {
			d := cloud.in(t)
			tt.set(d)
			p := d.person(NewBrowser, Entra{ClientID: api, Tenant: tenant})
			e := wantError(t, p.SignIn(guarded(t), "", func(string) {}), tt.class)
			if e.Code != tt.code || e.Source != "browser" {
				t.Errorf("%v: code %q, want %q", e, e.Code, tt.code)
			}
		})
	}
}

func TestBrowserWithoutAnybodyIsLeftWhenTheContextEnds(t *testing.T) {
	d := newDesk(t)
	d.browser()
	p := d.person(NewBrowser, Entra{ClientID: api, Tenant: tenant})
	ctx, cancel := context.WithCancel(guarded(t))
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- p.SignIn(ctx, "", func(string) {}) }()
	if err := d.WaitRequests(guarded(t), 1, entratest.Request{Endpoint: entratest.AuthorizeEndpoint, Status: 200}); err != nil {
		t.Fatal(err)
	}
	cancel()
	wantError(t, <-done, token.Transient)
}

func TestBrowserThatDoesNotReturnHoldsNobodyUp(t *testing.T) {
	d := newDesk(t)
	w := newWitness(t)
	d.desktop(play("hang", w.address()))
	p := d.person(NewBrowser, Entra{ClientID: api, Tenant: tenant})
	if p.grace != browserGrace {
		t.Errorf("grace %s", p.grace)
	}
	p.grace = time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- p.SignIn(ctx, "", func(string) {}) }()
	window := w.meet()
	cancel()
	if e := wantError(t, <-done, token.Transient); !errors.Is(e, context.Canceled) {
		t.Errorf("%v does not wrap the context's error", e)
	}
	p.Close() // would wait until the user closes the window
	if err := window.Close(); err != nil {
		t.Fatal(err)
	}
}
