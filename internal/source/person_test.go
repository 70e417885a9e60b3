package source

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/injectproxy/injectproxy/internal/entratest"
	"github.com/injectproxy/injectproxy/internal/token"
)

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

func TestAccountsOwnTenantServesWhereNoneIsNamed(t *testing.T) {
	d := newDesk(t)
	p := d.signedIn(Entra{ClientID: api})
	first := d.wantToken(p, token.Ask{}, api)
	if second := d.wantToken(p, token.Ask{Rejected: first}, api); second.Equal(first) {
		t.Error("the refused token came again")
	}
	d.wantToken(d.person(NewDeviceCode, Entra{ClientID: api2}), token.Ask{}, api2)
	if n := d.Count(entratest.Request{Tenant: "organizations", Endpoint: entratest.TokenEndpoint}); n != 3 {
		t.Errorf("%d requests to no tenant in particular", n)
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
