package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

func TestEachCredentialYieldsTheTokenThatTheAudienceMeans(t *testing.T) {
	c := newCloud(t)
	c.each(t, func(t *testing.T, p principal) {
		type spelling struct {
			of         cloudAPI
			line, want string // of the audience; what the token is for
		}
		var all []spelling
		for _, f := range []func(cloudAPI) (line, want string){
			func(a cloudAPI) (string, string) { return `client_id = "` + a.id + `"`, "api://" + a.id },
			func(a cloudAPI) (string, string) { return `resource = "` + a.uri + `"`, a.uri },
			func(a cloudAPI) (string, string) { return `resource = "` + a.uri + `/"`, a.uri },
			func(a cloudAPI) (string, string) { return `resource = "` + a.uri + `//"`, a.uri },
			func(a cloudAPI) (string, string) { return `scope = "` + a.uri + `//.default"`, a.uri + "/" },
		} {
			a := c.fresh()
			line, want := f(a)
			all = append(all, spelling{a, line, want})
		}
		o := newOrigin(t, "h2", nil, "api.example.test")
		tables := ""
		for i, s := range all {
			name := fmt.Sprint("x", i)
			tables += audience(name, s.line) + strings.Replace(rule(o.url("/"+name)), `"a"`, `"`+name+`"`, 1)
		}
		b := c.bed(t, settings{entra: c.Authority, tables: tables})
		for i, s := range all {
			call(t, b.client("h2"), "GET", o.url(fmt.Sprint("/x", i)), nil).wantStatus(t, http.StatusOK)
			claims, err := c.Validate(o.one(t).bearer(), s.of.id)
			if err != nil || claims["aud"] != s.want {
				t.Errorf("%s: a token for %v, want %s: %v", s.line, claims["aud"], s.want, err)
			}
			want := s.want
			if !p.managed {
				want += "/.default"
			}
			if asks := c.asks(s.of); len(asks) != 1 || asks[0].Scope != want {
				t.Errorf("%s: asked for %v, want %s once", s.line, asks, want)
			}
		}
	})
}

func TestRevokedTokenOfEachCredentialIsReplacedByAnother(t *testing.T) {
	c := newCloud(t)
	c.each(t, func(t *testing.T, p principal) {
		a := c.fresh()
		o := newOrigin(t, "h2", protected(c.Authority, a.id), "api.example.test")
		b := c.bed(t, settings{entra: c.Authority, tables: audience("a", `resource = "`+a.uri+`"`) + rule(o.url("/"))})
		call(t, b.client("h2"), "GET", o.url("/x"), nil).wantStatus(t, http.StatusOK)
		for range 2 { // azidentity's caches know the second token too
			call(t, b.client("h2"), "GET", o.url("/x"), nil).wantStatus(t, http.StatusOK)
			seen := o.taken()
			old := seen[len(seen)-1].bearer()
			before := len(c.asks(a))
			c.Revoke(old)
			call(t, b.client("h2"), "POST", o.url("/x"), strings.NewReader("body")).wantStatus(t, http.StatusOK)
			if seen = o.taken(); len(seen) != 2 || seen[0].bearer() != old || seen[1].bearer() == old {
				t.Errorf("the upstream saw %d requests, want the refused token and then another", len(seen))
			}
			if n := len(c.asks(a)) - before; n != 1 {
				t.Errorf("%d requests for a token, want 1", n)
			}
		}
	})
}

// tenantOf returns the tenant of a token for a.
func tenantOf(t *testing.T, c *cloud, bearer string, a cloudAPI) any {
	t.Helper()
	claims, err := c.Validate(bearer, a.id)
	if err != nil {
		t.Error(err)
	}
	return claims["tid"]
}

func TestTokenOfAnotherTenantNeverReachesTheUpstream(t *testing.T) {
	c := newCloud(t)
	c.each(t, func(t *testing.T, p principal) {
		defer c.Clear()
		a, unknown := c.fresh(), c.fresh()
		o := newOrigin(t, "h2", nil, "api.example.test")
		b := c.bed(t, settings{entra: c.Authority, tables: audience("a", `resource = "`+a.uri+`"`, `tenant = "`+otherTenant+`"`) + rule(o.url("/a")) +
			audience("b", `resource = "`+unknown.uri+`"`, `tenant = "`+otherTenant+`"`) + strings.Replace(rule(o.url("/b")), `"a"`, `"b"`, 1)})
		r := call(t, b.client("h2"), "GET", o.url("/a"), nil)
		if p.managed {
			problem := r.problem(t, http.StatusBadGateway)
			for _, s := range []string{testTenant, otherTenant, "tenant"} {
				if !strings.Contains(problem.Detail, s) {
					t.Errorf("%q is not in %q", s, problem.Detail)
				}
			}
			if problem.Type != "urn:injectproxy:problem:token-misconfigured" || !strings.Contains(problem.Hint, "tenant of the audience") {
				t.Errorf("%+v", problem)
			}
			o.nothing(t)
			return
		}
		r.wantStatus(t, http.StatusOK)
		if got := tenantOf(t, c, o.one(t).bearer(), a); got != otherTenant {
			t.Errorf("a token of tenant %v", got)
		}
		f := entratest.AADSTS(700016) // the client is none of that tenant's
		f.Tenant = otherTenant
		c.Fail(f)
		if problem := call(t, b.client("h2"), "GET", o.url("/b"), nil).problem(t, http.StatusBadGateway); !strings.Contains(problem.Detail, "AADSTS700016") {
			t.Errorf("%+v", problem)
		}
		o.nothing(t)
	})
}

func TestAudienceOfUsersRefusesTheApplicationInTheEnvironment(t *testing.T) {
	c := newCloud(t)
	c.each(t, func(t *testing.T, p principal) {
		a := c.fresh()
		o := newOrigin(t, "h2", nil, "api.example.test")
		b := c.bed(t, settings{entra: c.Authority, tables: audience("a", `client_id = "`+a.id+`"`, `identity = "user"`) + rule(o.url("/"))})
		problem := call(t, b.client("h2"), "GET", o.url("/"), nil).problem(t, http.StatusBadGateway)
		who := testClient
		if p.managed {
			who = machineClient
		}
		if !strings.Contains(problem.Detail, `the application `+who+`, and identity is "user"`) || !strings.Contains(problem.Hint, "unset AZURE_CLIENT_SECRET") {
			t.Errorf("%+v", problem)
		}
		o.nothing(t)
		if len(c.asks(a)) != 1 {
			t.Errorf("asked %d times for the token that was refused, want once", len(c.asks(a)))
		}
	})
}

func TestLogSaysWhoseTheTokenIsAtFirstAndWhenThatChanges(t *testing.T) {
	c := newCloud(t)
	c.asSecret(t)
	a := c.fresh()
	o := newOrigin(t, "h2", protected(c.Authority, a.id), "api.example.test")
	b := c.bed(t, settings{entra: c.Authority, tables: audience("a", `client_id = "`+a.id+`"`) + rule(o.url("/"))})
	for i, parts := range [][]string{
		{`msg="first token"`, "audience=a", "source=default", " identity=" + testClient, " kind=application", " tenant=" + testTenant},
		{`msg="new token"`, "audience=a"},
		{`msg="new token: its source or identity has changed"`, "audience=a", "source=default", " identity=" + otherClient, "former_source=default", "former_identity=" + testClient},
	} {
		if i == 2 {
			t.Setenv("AZURE_CLIENT_ID", otherClient)
		}
		c.RevokeAll()
		call(t, b.client("h2"), "GET", o.url("/"), nil).wantStatus(t, http.StatusOK)
		b.log.wait(t, parts...)
	}
}
