package verify

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

func TestIssuersOfBothVersionsAndAllCloudsAreAccepted(t *testing.T) {
	t.Parallel()
	for authority, cloud := range map[string]struct{ v1, v2 string }{
		"":                                  {"https://sts.windows.net/", "https://login.microsoftonline.com/"},
		"https://login.microsoftonline.com": {"https://sts.windows.net/", "https://login.microsoftonline.com/"},
		"https://login.windows.net/":        {"https://sts.windows.net/", "https://login.microsoftonline.com/"},
		"https://login.microsoftonline.us":  {"https://sts.windows.net/", "https://login.microsoftonline.us/"},
		"https://LOGIN.partner.microsoftonline.cn": {"https://sts.chinacloudapi.cn/", "https://login.partner.microsoftonline.cn/"},
		"https://login.chinacloudapi.cn":           {"https://sts.chinacloudapi.cn/", "https://login.partner.microsoftonline.cn/"},
		"https://entra.example:8443":               {"https://sts.windows.net/", "https://entra.example:8443/"},
	} {
		t.Run(authority, func(t *testing.T) {
			t.Parallel()
			c := newCloud()
			o := c.options()
			o.Authority = authority
			inBubble(t, c, o, func(t *testing.T, v *Verifier) {
				for _, tenant := range []string{home, branch} {
					v1 := fields{"tid": tenant, "ver": "1.0", "iss": cloud.v1 + tenant + "/", "azp": nil, "appid": app}
					v2 := fields{"tid": tenant, "iss": cloud.v2 + tenant + "/v2.0"}
					for _, audience := range []any{api, uri, []string{uri}} {
						for _, claims := range []fields{v1, v2} {
							caller := accepted(t, v, claims.json(), first().token(claims.with(fields{"aud": audience})))
							if caller.Tenant != tenant || caller.Object != ada || caller.Client != app || !slices.Equal(caller.Scopes, []string{"read", "write"}) {
								t.Errorf("%s: %+v", claims.json(), caller)
							}
						}
					}
					strange := first().token(v1.with(fields{"iss": "https://sts.example/" + tenant + "/"}))
					refused(t, v, "another issuer of v1", strange, Issuer)
				}
			})
		})
	}
}

func TestCallerIsWhatTheTokenSays(t *testing.T) {
	t.Parallel()
	c := newCloud()
	inBubble(t, c, c.options(), func(t *testing.T, v *Verifier) {
		caller := accepted(t, v, "application", first().token(fields{
			"tid": strings.ToUpper(home), "oid": strings.ToUpper(ada), "azp": strings.ToUpper(app),
			"scp": nil, "roles": []string{"Reader", "Export er"}, "AUD": other, "Tid": other, "Roles": []string{"Admin"},
		}))
		if caller.Tenant != home || caller.Object != ada || caller.Client != app || len(caller.Scopes) != 0 ||
			!slices.Equal(caller.Roles, []string{"Reader", "Export er"}) || !caller.Expires.Equal(time.Now().Add(time.Hour)) {
			t.Errorf("%+v", caller)
		}
		token := first().token(fields{"scp": "  a  b ", "x": "1"})
		caller = accepted(t, v, "user", token)
		if again := accepted(t, v, "again", token); again != caller || len(caller.Fingerprint) != 8 || !slices.Equal(caller.Scopes, []string{"a", "b"}) {
			t.Errorf("%+v, then %+v", caller, again)
		}
		if none := accepted(t, v, "nothing granted", first().token(fields{"scp": nil})); len(none.Scopes)+len(none.Roles) != 0 {
			t.Errorf("%+v", none)
		}
		spaced := first().sign(" { \"alg\" :\t\"RS256\" , \"kid\" : \"first\" } ", strings.ReplaceAll(usual().json(), `":`, "\" :\n "))
		accepted(t, v, "blanks in JSON", spaced)
		accepted(t, v, "type of RFC 9068", first().sign(first().header().with(fields{"typ": "application/at+JWT"}).json(), usual().json()))
		accepted(t, v, "dates with fractions", first().token(fields{"exp": float64(time.Now().Unix()) + 5.5, "nbf": 1.25, "iat": nil}))
	})
}

func TestWhatAUserIsCalledIsReadAndDecidesNothing(t *testing.T) {
	t.Parallel()
	c := newCloud()
	inBubble(t, c, c.options(), func(t *testing.T, v *Verifier) {
		for _, tt := range []struct {
			claims         fields
			name, username string
		}{
			{fields{"name": "Ada Müller", "preferred_username": "ada@corp.example", "upn": "another@corp.example"}, "Ada Müller", "ada@corp.example"},
			{fields{"ver": "1.0", "iss": "https://sts.windows.net/" + home + "/", "azp": nil, "appid": app, "upn": "ada@corp.example"}, "", "ada@corp.example"},
			{fields{"name": nil}, "", ""},
			{fields{"name": []string{"Ada"}, "preferred_username": 7, "upn": fields{}}, "", ""},
			{fields{"NAME": "Ada", "Preferred_Username": "ada@corp.example"}, "", ""},
		} {
			if got := accepted(t, v, tt.claims.json(), first().token(tt.claims)); got.Name != tt.name || got.Username != tt.username || got.Object != ada {
				t.Errorf("%s: %+v", tt.claims.json(), got)
			}
		}
	})
}

func TestDatesHaveALeewayOfAMinute(t *testing.T) {
	t.Parallel()
	c := newCloud()
	inBubble(t, c, c.options(), func(t *testing.T, v *Verifier) {
		now := time.Now()
		soon := now.Add(leeway).Unix()
		accepted(t, v, "begins in a minute", first().token(fields{"nbf": soon, "iat": soon}))
		refused(t, v, "begins in 61 seconds", first().token(fields{"nbf": soon + 1}), NotYetValid)
		refused(t, v, "issued in 61 seconds", first().token(fields{"iat": soon + 1}), NotYetValid)
		accepted(t, v, "ended 59 seconds ago", first().token(fields{"exp": now.Add(-leeway).Unix() + 1}))
		refused(t, v, "ended a minute ago", first().token(fields{"exp": now.Add(-leeway).Unix()}), Expired)
	})
}

func TestClientsAreRestrictedOnlyWhereTheyAreListed(t *testing.T) {
	t.Parallel()
	for _, clients := range [][]string{nil, {strings.ToUpper(app)}, {other}} {
		c := newCloud()
		o := c.options()
		o.Clients = clients
		inBubble(t, c, o, func(t *testing.T, v *Verifier) {
			v1 := fields{"ver": "1.0", "iss": "https://sts.windows.net/" + home + "/", "azp": other, "appid": app}
			for _, claims := range []fields{nil, v1} {
				if slices.Contains(clients, other) {
					refused(t, v, "not listed", first().token(claims), Client)
				} else {
					accepted(t, v, "listed, or none is", first().token(claims))
				}
			}
		})
	}
}

func TestInspectionSaysWhatVerificationSaysWithoutKeys(t *testing.T) {
	t.Parallel()
	o := newCloud().options()
	o.HTTP = nil
	caller, err := Inspect(o, forged(1))
	if err != nil || caller.Object != ada || caller.Tenant != home || caller.Fingerprint != "" {
		t.Errorf("%+v, %v", caller, err)
	}
	for reason, tokens := range hostile() {
		for _, tt := range tokens {
			var bad *Invalid
			_, err := Inspect(o, tt.token)
			if reason == Key || reason == Signature || reason == Client || reason == Algorithm {
				continue // depends on keys, or on other options
			}
			if !errors.As(err, &bad) || bad.Reason != reason {
				t.Errorf("%s, %s: %v", reason, tt.name, err)
			}
		}
	}
	if _, err := Inspect(Options{}, forged(1)); err == nil {
		t.Error("without options it is accepted")
	}
}

func TestOptionsThatWouldAcceptTooMuchAreRefused(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(*Options){
		"no client":              func(o *Options) { o.HTTP = nil },
		"no tenant":              func(o *Options) { o.Tenants = nil },
		"tenant by name":         func(o *Options) { o.Tenants = []string{"contoso.example"} },
		"any tenant":             func(o *Options) { o.Tenants = []string{"common"} },
		"no audience":            func(o *Options) { o.Audiences = nil },
		"empty audience":         func(o *Options) { o.Audiences = []string{api, ""} },
		"audience with a quote":  func(o *Options) { o.Audiences = []string{`a"b`} },
		"client by name":         func(o *Options) { o.Clients = []string{"app"} },
		"symmetric algorithm":    func(o *Options) { o.Algorithms = []string{"RS256", "HS256"} },
		"no algorithm":           func(o *Options) { o.Algorithms = []string{"none"} },
		"authority in the clear": func(o *Options) { o.Authority = "http://login.microsoftonline.com" },
		"authority with a path":  func(o *Options) { o.Authority = "https://login.microsoftonline.com/common" },
		"authority with a user":  func(o *Options) { o.Authority = "https://a@login.microsoftonline.com" },
		"no URL":                 func(o *Options) { o.Authority = "login.microsoftonline.com" },
	} {
		o := newCloud().options()
		edit(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestTokensOfTheSimulatedAuthorityAreAccepted(t *testing.T) {
	t.Parallel()
	const apiV1 = "77777777-7777-4777-8777-777777777777"
	a, err := entratest.Start(entratest.Options{Tenants: []string{home, branch}, Resources: []entratest.Resource{
		{ID: apiV1, Roles: []string{"Reader"}, Scopes: []string{"read"}}, {ID: api, Version: 2, Roles: []string{"Reader"}, Scopes: []string{"read"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	v := mustNew(t, Options{
		Authority: a.URL(), Tenants: []string{home, branch}, HTTP: a.HTTPClient(),
		Audiences: []string{apiV1, "api://" + apiV1, api, uri},
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { v.Run(ctx); close(ended) }()
	defer func() { stop(); <-ended }()

	issue := func(g entratest.Grant) string {
		t.Helper()
		token, err := a.Issue(g)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	for _, tenant := range []string{home, branch} {
		for _, audience := range []string{apiV1, "api://" + apiV1, api, uri} {
			user := accepted(t, v, audience, issue(entratest.Grant{Tenant: tenant, Client: app, Audience: audience, User: &entratest.User{ObjectID: ada}}))
			if user.Tenant != tenant || user.Object != ada || user.Client != app || !slices.Equal(user.Scopes, []string{"read"}) {
				t.Errorf("%s: %+v", audience, user)
			}
			service := accepted(t, v, audience, issue(entratest.Grant{Tenant: tenant, Client: app, Audience: audience}))
			if service.Tenant != tenant || len(service.Scopes) != 0 || !slices.Equal(service.Roles, []string{"Reader"}) {
				t.Errorf("%s: %+v", audience, service)
			}
		}
	}
	if err := a.RotateTenantKey(branch); err != nil {
		t.Fatal(err)
	}
	accepted(t, v, "key of one tenant", issue(entratest.Grant{Tenant: branch, Client: app, Audience: api}))
	refused(t, v, "key of another tenant", issue(entratest.Grant{
		Tenant: branch, Client: app, Audience: api, Claims: map[string]any{"tid": home, "iss": a.URL() + "/" + home + "/v2.0"},
	}), Key)
	if !v.Ready() {
		t.Error("not ready")
	}
}

// Without Run nothing is fetched, and nobody waits for longer than they would.
func TestTokenIsUnknownWhileNobodyFetchesKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		v := mustNew(t, c.options())
		unavailable(t, v, "before", first().token(nil))
		ctx, stop := context.WithCancel(t.Context())
		stop()
		v.Run(ctx)
		began := time.Now()
		unavailable(t, v, "after", first().token(fields{"x": 1}))
		if waited := time.Since(began); waited != 0 {
			t.Errorf("waited for %v", waited)
		}
		if v.Ready() || c.fetches(home) > 1 {
			t.Errorf("ready %v, %d fetches", v.Ready(), c.fetches(home))
		}
	})
}

func TestClientThatLeavesWaitsNoLonger(t *testing.T) {
	t.Parallel()
	c := newCloud()
	c.answers(hang)
	inBubble(t, c, c.options(), func(t *testing.T, v *Verifier) {
		ctx, leave := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, leave)
		began := time.Now()
		if _, err := v.Verify(ctx, first().token(nil)); err == nil || ctx.Err() == nil || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

var _ http.RoundTripper = (*cloud)(nil)
