package exchange

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestTokenIsExchangedOnceAndKept(t *testing.T) {
	t.Parallel()
	s := &stub{t: t, answer: func(_ *http.Request, f url.Values) (int, string) { return gives("for-"+f.Get("assertion")[:3], 3600) }}
	e := s.exchanger()
	for range 3 {
		got, err := e.Exchange(t.Context(), tenant, of("ada"))
		wantToken(t, "for-eyJ", got, err)
	}
	if n := len(s.asked()); n != 1 {
		t.Fatalf("Entra was asked %d times", n)
	}
	f := s.asked()[0]
	for k, want := range map[string]string{
		"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "requested_token_use": "on_behalf_of", "client_id": gateID,
		"client_secret": canary, "assertion": of("ada"), "claims": `{"access_token":{"xms_cc":{"values":["cp1"]}}}`,
	} {
		if f.Get(k) != want {
			t.Errorf("%s is %q, want %q", k, f.Get(k), want)
		}
	}
	if !strings.HasPrefix(f.Get("scope"), scope+" ") {
		t.Errorf("scope is %q", f.Get("scope"))
	}
}

func TestOptionsThatCannotBeUsedAreRefused(t *testing.T) {
	t.Parallel()
	now := time.Unix(2e9, 0)
	usable := Options{
		ClientID: gateID, Scopes: []string{scope}, HTTP: http.DefaultClient, Credential: Credential{SecretFile: write(t, "secret", canary)}, Now: func() time.Time { return now },
	}
	for authority, want := range map[string]string{
		"": publicCloud, "https://login.example": "https://login.example", "https://login.example//": "https://login.example",
		"http://login.example": "", "https://": "", "https:///x": "", "login.example": "", "https://login example": "", "://": "",
	} {
		o := usable
		o.Authority = authority
		e, err := New(o)
		if (err == nil) != (want != "") || err == nil && (e.o.Authority != want || !e.o.Now().Equal(now)) {
			t.Errorf("%q: %v", authority, err)
		}
		if err == nil {
			e.Close()
		}
	}
	for name, change := range map[string]func(*Options){
		"no client": func(o *Options) { o.ClientID = "" }, "no scopes": func(o *Options) { o.Scopes = nil }, "no HTTP": func(o *Options) { o.HTTP = nil },
	} {
		o := usable
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
