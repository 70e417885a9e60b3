package source

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/injectproxy/injectproxy/internal/entratest"
	"github.com/injectproxy/injectproxy/internal/token"
)

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
		"code that expires":  {begun(fmt.Sprintf(code, "ABC", "https://a.example/", 1)), token.SignIn, "", true},
		"expired code":       {begun(fmt.Sprintf(code, "ABC", "https://a.example/", 0)), token.SignIn, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			d := cloud.in(t)
			p := d.person(NewDeviceCode, Entra{ClientID: api, Tenant: tenant})
			if name == "code that expires" {
				d.Fail(entratest.AADSTS(70016)) // pending
			}
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
