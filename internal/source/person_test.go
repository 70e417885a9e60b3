package source

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

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

func newDesk(t *testing.T) *desk {
	t.Helper()
	a, err := entratest.Start(entratest.Options{
		Tenants:   []string{tenant, tenant2},
		Clients:   []entratest.Client{{ID: azureCLI, Public: true}},
		Resources: []entratest.Resource{{ID: api, Version: 2, Scopes: []string{"use"}}, {ID: api2, Version: 2, Scopes: []string{"use"}}},
	})
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

func TestTokenIsNeverAskedOfAPerson(t *testing.T) {
	d := newDesk(t)
	p := d.person(NewDeviceCode, Entra{ClientID: api, Tenant: tenant})
	_, err := p.Token(guarded(t), token.Ask{Rejected: other(t)})
	e := wantError(t, err, token.SignIn)
	if e.Hint != "injectproxy login gateway" || e.Source != "device-code" || e.Hint != p.Command("") {
		t.Errorf("source %q, hint %q", e.Source, e.Hint)
	}
	if n := len(d.Requests()); n != 0 {
		t.Errorf("%d requests without anybody to make them for", n)
	}
	if e.Stale == nil || e.Stale() {
		t.Error("somebody is thought to have signed in")
	}
	if err := p.SignIn(guarded(t), "", d.attend(grace)); err != nil {
		t.Fatal(err)
	}
	if !e.Stale() {
		t.Error("that somebody signed in is not noticed")
	}
	d.wantToken(p, token.Ask{}, api)
}

func TestDeviceCodeIsShownWithItsPageAndTenant(t *testing.T) {
	d := newDesk(t)
	p := d.person(NewDeviceCode, Entra{ClientID: api, Tenant: tenant})
	var told []string
	err := p.SignIn(guarded(t), "", func(message string) {
		told = append(told, message)
		d.attend(grace)(message)
	})
	if err != nil || len(told) != 1 || !strings.Contains(told[0], d.URL()+"/devicelogin ") || !strings.Contains(told[0], tenant) {
		t.Errorf("told %q, %v", told, err)
	}
	got := d.wantToken(p, token.Ask{}, api)
	if got.Source() != "device-code" || time.Until(got.Expiry()) < 50*time.Minute {
		t.Errorf("source %q, expiry %v", got.Source(), got.Expiry())
	}
}

func TestRefreshTokenIsRedeemedForATokenThatIsRefused(t *testing.T) {
	d := newDesk(t)
	p := d.signedIn(Entra{ClientID: api, Tenant: tenant})
	first := d.wantToken(p, token.Ask{}, api)
	if again := d.wantToken(p, token.Ask{}, api); !again.Equal(first) {
		t.Fatal("azidentity has no cache to be passed by")
	}
	redeemed := entratest.Request{Endpoint: entratest.TokenEndpoint, Grant: "refresh_token", Status: 200}
	if n := d.Count(redeemed); n != 0 {
		t.Fatalf("%d refreshes before", n)
	}
	second := d.wantToken(p, token.Ask{Rejected: first}, api)
	if second.Equal(first) || d.Count(redeemed) != 1 {
		t.Errorf("the same token: %v; %d refreshes", second.Equal(first), d.Count(redeemed))
	}
	const challenge = `{"access_token":{"nbf":{"essential":true,"value":"1700000000"}}}`
	if third := d.wantToken(p, token.Ask{Claims: challenge}, api); third.Equal(second) {
		t.Error("a challenge is answered with the same token")
	}
	if r := d.asked(); !strings.Contains(r.Claims, "1700000000") || !strings.Contains(r.Claims, "xms_cc") || d.Count(redeemed) != 2 {
		t.Errorf("claims %q, %d refreshes", r.Claims, d.Count(redeemed))
	}
	for _, r := range d.Requests() {
		if r.Tenant != tenant {
			t.Errorf("asked tenant %q (%s)", r.Tenant, r.Endpoint)
		}
	}
}

func TestChallengeGoesAlongWithTheSignIn(t *testing.T) {
	d := newDesk(t)
	p := d.person(NewDeviceCode, Entra{ClientID: api, Tenant: tenant})
	if err := p.SignIn(guarded(t), `{"access_token":{"acrs":{"essential":true,"value":"c1"}}}`, d.attend(grace)); err != nil {
		t.Fatal(err)
	}
	if r := d.asked(); !strings.Contains(r.Claims, `"acrs"`) || !strings.Contains(r.Claims, "xms_cc") {
		t.Errorf("claims %q", r.Claims)
	}
}

func TestOneSignInServesTheWholeTenant(t *testing.T) {
	d := newDesk(t)
	d.signedIn(Entra{ClientID: api, Tenant: tenant}).Close() // as a change of configuration does
	d.wantToken(d.person(NewDeviceCode, Entra{ClientID: api2, Tenant: strings.ToUpper(tenant)}), token.Ask{}, api2)
	if got := d.wantToken(d.person(NewBrowser, Entra{ClientID: api, Tenant: tenant}), token.Ask{}, api); got.Source() != "browser" {
		t.Errorf("source %q", got.Source())
	}
	if n := d.Count(entratest.Request{Endpoint: entratest.DeviceCodeEndpoint}); n != 1 {
		t.Errorf("%d sign-ins", n)
	}
	_, err := d.person(NewDeviceCode, Entra{ClientID: api, Tenant: tenant2}).Token(guarded(t), token.Ask{})
	wantError(t, err, token.SignIn)
	o := d.options()
	o.Sessions = nil
	_, err = d.personWith(NewDeviceCode, Entra{ClientID: api, Tenant: tenant}, o).Token(guarded(t), token.Ask{})
	wantError(t, err, token.SignIn)
}

func TestEachSourceGoesItsOwnWayToTheAuthority(t *testing.T) {
	d := newDesk(t)
	d.signedIn(Entra{ClientID: api, Tenant: tenant})
	o := d.options()
	var asked atomic.Int32
	o.Transport.Proxy = func(*http.Request) (*url.URL, error) {
		asked.Add(1)
		return nil, nil
	}
	d.wantToken(d.personWith(NewDeviceCode, Entra{ClientID: api, Tenant: tenant}, o), token.Ask{Rejected: other(t)}, api)
	if asked.Load() == 0 {
		t.Error("a session keeps to the way of the source that it was made by")
	}
}

func TestTokensComeWhileSomebodyIsAskedToSignIn(t *testing.T) {
	d := newDesk(t)
	p := d.signedIn(Entra{ClientID: api, Tenant: tenant})
	ctx, cancel := context.WithCancel(guarded(t))
	told, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- p.SignIn(ctx, "", func(string) { close(told) }) }()
	<-told
	d.wantToken(p, token.Ask{Rejected: other(t)}, api)
	cancel()
	if e := wantError(t, <-done, token.Transient); !errors.Is(e, context.Canceled) {
		t.Errorf("%v does not wrap the context's error", e)
	}
	d.wantToken(p, token.Ask{Rejected: other(t)}, api)
}

func TestFailureOfARefreshHasItsClass(t *testing.T) {
	cloud := newDesk(t)
	for name, tt := range map[string]struct {
		failure entratest.Failure
		class   token.Class
		code    string
	}{
		"second factor":   {entratest.AADSTS(50076), token.SignIn, "AADSTS50076"},
		"sign-in too old": {entratest.AADSTS(70043), token.SignIn, "AADSTS70043"},
		"consent":         {entratest.AADSTS(65001), token.Consent, "AADSTS65001"},
		"policy":          {entratest.AADSTS(53003), token.Policy, "AADSTS53003"},
		"unknown API":     {entratest.AADSTS(500011), token.Misconfigured, "AADSTS500011"},
		"throttling":      {entratest.AADSTS(90055), token.Transient, "AADSTS90055"},
		"unknown code":    {entratest.Failure{Code: 999999, Error: "invalid_grant", Description: canary}, token.Unknown, "AADSTS999999"},
		"no code":         {entratest.Failure{Status: 400, Error: "invalid_grant", Body: `{"error":"invalid_grant"}`}, token.Unknown, ""},
		"outage":          {entratest.Failure{Status: 503, Body: canary}, token.Transient, ""},
		"code in outage":  {entratest.Failure{Status: 500, Code: 999999}, token.Transient, ""},
		"cut connection":  {entratest.Failure{Reset: true}, token.Transient, ""},
		"garbage":         {entratest.Failure{Status: 200, Body: canary}, token.Unknown, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := cloud.in(t)
			p := d.signedIn(Entra{ClientID: api, Tenant: tenant})
			d.Fail(tt.failure)
			_, err := p.Token(guarded(t), token.Ask{Rejected: other(t)})
			if e := wantError(t, err, tt.class); e.Code != tt.code || e.RetryAfter != tt.failure.RetryAfter || e.Stale == nil || e.Stale() {
				t.Errorf("code %q (want %q), retry after %s", e.Code, tt.code, e.RetryAfter)
			}
			d.Clear()
			d.wantToken(p, token.Ask{Rejected: other(t)}, api)
		})
	}
}

func TestNetworkFailureIsNoMissingSignIn(t *testing.T) {
	d := newDesk(t)
	d.signedIn(Entra{ClientID: api, Tenant: tenant})
	untrusting := d.options()
	untrusting.Transport.TLSClientConfig.RootCAs = nil
	_, err := d.personWith(NewDeviceCode, Entra{ClientID: api, Tenant: tenant}, untrusting).Token(guarded(t), token.Ask{Rejected: other(t)})
	if e := wantError(t, err, token.Misconfigured); !strings.Contains(e.Hint, "upstream_ca") {
		t.Errorf("hint %q", e.Hint)
	}
	p := d.person(NewDeviceCode, Entra{ClientID: api, Tenant: tenant})
	d.Down()
	_, err = p.Token(guarded(t), token.Ask{Rejected: other(t)})
	wantError(t, err, token.Transient)
	wantError(t, p.SignIn(guarded(t), "", nobodyIsTold(t)), token.Transient)
}

func TestSignInThatFailsHasItsClass(t *testing.T) {
	cloud := newDesk(t)
	begun := func(body string) entratest.Failure {
		return entratest.Failure{Endpoint: entratest.DeviceCodeEndpoint, Status: 200, Body: body}
	}
	const code = `{"device_code":"x","user_code":%q,"verification_uri":%q,"expires_in":%d,"interval":5,"message":"` + canary + `"}`
	for name, tt := range map[string]struct {
		failure entratest.Failure
		class   token.Class
		code    string
		told    bool
	}{
		"declined":           {entratest.AADSTS(65004), token.Declined, "AADSTS65004", true},
		"declined, RFC 8628": {entratest.Failure{Status: 400, Body: `{"error":"access_denied"}`}, token.Declined, "", true},
		"declined, Entra":    {entratest.Failure{Status: 400, Body: `{"error":"authorization_declined"}`}, token.Declined, "", true},
		"too late":           {entratest.Failure{Status: 400, Body: `{"error":"expired_token"}`}, token.SignIn, "", true},
		"wrong account":      {entratest.AADSTS(50020), token.Misconfigured, "AADSTS50020", true},
		"policy":             {entratest.AADSTS(53003), token.Policy, "AADSTS53003", true},
		"unknown code":       {entratest.Failure{Code: 999999, Description: canary + " az login"}, token.Unknown, "AADSTS999999", true},
		"garbage":            {entratest.Failure{Status: 200, Body: canary}, token.Unknown, "", true},
		"no code to be had":  {entratest.Failure{Endpoint: entratest.DeviceCodeEndpoint, Code: 700016}, token.Misconfigured, "AADSTS700016", false},
		"strange code":       {begun(fmt.Sprintf(code, "\x1b[2J", "https://a.example/", 900)), token.Unknown, "", false},
		"strange page":       {begun(fmt.Sprintf(code, "ABC", "javascript:alert(1)", 900)), token.Unknown, "", false},
		"expired code":       {begun(fmt.Sprintf(code, "ABC", "https://a.example/", 0)), token.SignIn, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			d := cloud.in(t)
			p := d.person(NewDeviceCode, Entra{ClientID: api, Tenant: tenant})
			d.Fail(tt.failure)
			told := false
			err := p.SignIn(guarded(t), "", func(message string) {
				told = true
				if strings.Contains(message, canary) {
					t.Errorf("the authority's own words are shown: %q", message)
				}
			})
			if e := wantError(t, err, tt.class); e.Code != tt.code || told != tt.told || e.Source != "device-code" {
				t.Errorf("%v: told %v, want %v; code %q, want %q", e, told, tt.told, e.Code, tt.code)
			}
			_, err = p.Token(guarded(t), token.Ask{})
			wantError(t, err, token.SignIn)
		})
	}
}

func TestSignInEndsWithItsContext(t *testing.T) {
	d := newDesk(t)
	p := d.person(NewDeviceCode, Entra{ClientID: api, Tenant: tenant})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err := p.SignIn(ctx, "", func(string) {}) // nobody is there
	if e := wantError(t, err, token.SignIn); !errors.Is(e, context.DeadlineExceeded) {
		t.Errorf("%v does not wrap the context's error", e)
	}
	if err := p.SignIn(guarded(t), "", d.attend(grace)); err != nil {
		t.Errorf("the next one: %v", err)
	}
}

func TestHangingRefreshIsLeftAtTheLimit(t *testing.T) {
	d := newDesk(t)
	p := d.signedIn(Entra{ClientID: api, Tenant: tenant})
	p.limit = 50 * time.Millisecond
	d.Fail(entratest.Failure{Hang: true})
	_, err := p.Token(context.WithoutCancel(t.Context()), token.Ask{Rejected: other(t)})
	if e := wantError(t, err, token.Transient); !errors.Is(e, context.DeadlineExceeded) {
		t.Errorf("%v does not wrap the context's error", e)
	}
}

func TestCloseEndsSignInsAndCalls(t *testing.T) {
	d := newDesk(t)
	p := d.signedIn(Entra{ClientID: api, Tenant: tenant})
	d.Fail(entratest.Failure{Hang: true})
	const callers = maxCalls + 1 // one has to wait for another
	done, told := make(chan error, callers+1), make(chan struct{})
	go func() { done <- p.SignIn(guarded(t), "", func(string) { close(told) }) }()
	<-told
	for range callers {
		go func() {
			_, err := p.Token(guarded(t), token.Ask{Rejected: other(t)})
			done <- err
		}()
	}
	if err := d.WaitRequests(guarded(t), 1, entratest.Request{Grant: "refresh_token"}); err != nil {
		t.Fatal(err)
	}
	p.Close()
	p.Close() // does no harm
	for range callers + 1 {
		if e := wantError(t, <-done, token.Transient); !errors.Is(e, context.Canceled) {
			t.Errorf("%v does not wrap the context's error", e)
		}
	}
	d.Clear()
	if _, err := p.Token(guarded(t), token.Ask{}); err == nil {
		t.Error("a closed source yields tokens")
	}
	wantError(t, p.SignIn(guarded(t), "", nobodyIsTold(t)), token.Transient)
}

func TestNobodyIsToldAfterTheSignInHasEnded(t *testing.T) {
	told := 0
	say := &teller{tell: func(string) { told++ }}
	say.say("before")
	say.stop()
	say.say("after")
	if told != 1 {
		t.Errorf("told %d times, want once", told)
	}
}

func TestGarbledChallengeAsksNobody(t *testing.T) {
	d := newDesk(t)
	p := d.signedIn(Entra{ClientID: api, Tenant: tenant})
	before := len(d.Requests())
	for _, claims := range []string{
		"x", "[]", "null", `"x"`, "1", `{"access_token":null}`, `{"access_token":"x"}`, `{"access_token":[]}`,
		`{"access_token":{"xms_cc":"x"}}`, `{"access_token":{"xms_cc":{"values":["x"]}}}`, `{"a":1`,
	} {
		_, err := p.Token(guarded(t), token.Ask{Claims: claims})
		wantError(t, err, token.Unknown)
		wantError(t, p.SignIn(guarded(t), claims, nobodyIsTold(t)), token.Unknown)
	}
	if n := len(d.Requests()); n != before {
		t.Errorf("%d requests for what cannot be passed on", n-before)
	}
	for _, claims := range []string{`{}`, `{"access_token":{}}`, `{"id_token":{"x":null}}`, ` {"access_token":{"acrs":{"value":"c1"}}}`} {
		d.wantToken(p, token.Ask{Claims: claims}, api)
	}
}

func TestCodeThatMightDeceiveIsNotShown(t *testing.T) {
	for _, tt := range []struct {
		code, page string
		want       bool
	}{
		{"HDW4QLPRM", "https://microsoft.com/devicelogin", true},
		{"HDW4-QLPRM", "https://login.microsoft.com/device", true},
		{"A", "https://127.0.0.1:8443/a?b=c&d=%41", true},
		{"", "https://microsoft.com/devicelogin", false},
		{"A\n", "https://microsoft.com/devicelogin", false},
		{"A B", "https://microsoft.com/devicelogin", false},
		{"\x1b]9;x\x07", "https://microsoft.com/devicelogin", false},
		{strings.Repeat("A", 33), "https://microsoft.com/devicelogin", false},
		{"A", "http://microsoft.com/devicelogin", false},
		{"A", "microsoft.com/devicelogin", false},
		{"A", "https://", false},
		{"A", "", false},
		{"A", "https://microsoft.com@evil.example/", false},
		{"A", "https://microsoft.com/\x1b[2J", false},
		{"A", "https://microsoft.com/ and then", false},
		{"A", "https://microsoft.com/" + strings.Repeat("a", 200), false},
	} {
		if got := presentable(azidentity.DeviceCodeMessage{UserCode: tt.code, VerificationURL: tt.page}); got != tt.want {
			t.Errorf("%q, %q: %v, want %v", tt.code, tt.page, got, tt.want)
		}
	}
}

func TestPanicEndsOneCallAlone(t *testing.T) {
	d := newDesk(t)
	d.signedIn(Entra{ClientID: api, Tenant: tenant})
	o := d.options()
	var calls atomic.Int32
	o.Transport.Proxy = func(*http.Request) (*url.URL, error) {
		if calls.Add(1) <= 2 {
			panic(canary)
		}
		return nil, nil
	}
	p := d.personWith(NewDeviceCode, Entra{ClientID: api, Tenant: tenant}, o)
	_, err := p.Token(guarded(t), token.Ask{Rejected: other(t)})
	wantError(t, err, token.Unknown)
	wantError(t, p.SignIn(guarded(t), "", nobodyIsTold(t)), token.Unknown)
}

func TestPersonIsRefusedWhatCannotBeAskedFor(t *testing.T) {
	d := newDesk(t)
	for name, tt := range map[string]struct {
		entra     Entra
		authority string
		variable  string
	}{
		"no audience":          {Entra{}, d.URL(), ""},
		"authority in clear":   {Entra{ClientID: api}, "http://login.example", ""},
		"no authority":         {Entra{ClientID: api}, "login.example", ""},
		"variable in clear":    {Entra{ClientID: api}, "", "http://login.example/"},
		"tenant that is a URL": {Entra{ClientID: api, Tenant: "../x"}, d.URL(), ""},
	} {
		t.Setenv("AZURE_AUTHORITY_HOST", tt.variable)
		if _, err := NewBrowser(tt.entra, PersonOptions{DefaultOptions: DefaultOptions{AuthorityHost: tt.authority}}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	t.Setenv("AZURE_AUTHORITY_HOST", d.URL()+"/")
	o := d.options()
	o.AuthorityHost = ""
	p := d.personWith(NewDeviceCode, Entra{ClientID: api, Tenant: tenant}, o)
	if err := p.SignIn(guarded(t), "", d.attend(grace)); err != nil {
		t.Errorf("the variable's authority: %v", err)
	}
	d.wantToken(d.person(NewDeviceCode, Entra{ClientID: api, Tenant: tenant}), token.Ask{}, api) // it is the same
	if files, err := filepath.Glob(filepath.Join(d.home, "*")); err != nil || len(files) > 0 {
		t.Errorf("what keeps nothing left %v, %v", files, err)
	}
	if _, err := os.Stat(filepath.Join(d.home, ".cache")); err == nil {
		t.Error("what keeps nothing opened the system's store")
	}
}
