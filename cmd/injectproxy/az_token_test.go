//go:build unix

package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAzIsAskedForTheAudienceAndNothingElse(t *testing.T) {
	t.Parallel()
	a := startTenants(t)
	for name, tt := range map[string]struct {
		audience string
		want     []string
	}{
		"client_id":           {`client_id = "` + apiOne + `"`, []string{"--scope", scopeOne}},
		"client_id, tenant":   {`client_id = "` + apiOne + "\"\ntenant = \"" + secondTenant + `"`, []string{"--scope", scopeOne, "--tenant", secondTenant}},
		"scope, taken as is":  {`scope = "api://` + apiTwo + `/.default"`, []string{"--scope", "api://" + apiTwo + "/.default"}},
		"resource":            {`resource = "api://` + apiOne + `"`, []string{"--resource", "api://" + apiOne}},
		"resource, one slash": {`resource = "api://` + apiOne + `/"`, []string{"--resource", "api://" + apiOne}},
		"resource, slashes":   {`resource = "api://` + apiOne + `//"`, []string{"--resource", "api://" + apiOne}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := apiOne
			if strings.Contains(tt.audience, apiTwo) {
				api = apiTwo
			}
			o := newOrigin(t, "h2", protected(a, api), "api.example.test")
			// The usual sources: default is asked first, and has nothing.
			b := newTestbed(t, settings{entra: a, tables: "[audience.a]\n" + tt.audience + rule(o.url("/"))})
			az := b.az(a)
			for range 2 {
				call(t, b.client("h2"), "GET", o.url("/x"), nil).wantStatus(t, http.StatusOK)
			}
			az.wantRuns(t, 1)
			r := az.wait(1)[0]
			if want := append([]string{"account", "get-access-token", "--output", "json"}, tt.want...); !slices.Equal(r.Args, want) {
				t.Errorf("ran az %q\nwant   %q", r.Args, want)
			}
			if r.Stdin != "" || r.Dir != "/" {
				t.Errorf("az ran in %q with %d bytes to read", r.Dir, len(r.Stdin))
			}
			b.log.wait(t, `msg="first token"`, "audience=a", "source=az", "identity=ada@example.test", "kind=user")
		})
	}
}

func TestSpellingsOfAResourceAreOneRunOfAz(t *testing.T) {
	t.Parallel()
	a := startTenants(t)
	o := newOrigin(t, "h2", protected(a, apiOne), "api.example.test")
	tables := ""
	for i, slashes := range []string{"", "/", "//"} {
		tables += fmt.Sprintf("[audience.x%d]\nresource = \"api://%s%s\"\nsources = [\"az\"]\n", i, apiOne, slashes)
		tables += strings.Replace(rule(o.url(fmt.Sprint("/", i))), `"a"`, fmt.Sprintf(`"x%d"`, i), 1)
	}
	b := newTestbed(t, settings{entra: a, tables: tables})
	az := b.az(a)
	c := b.client("h2")
	for i := range 3 {
		call(t, c, "GET", o.url(fmt.Sprintf("/%d/x", i)), nil).wantStatus(t, http.StatusOK)
	}
	az.wantRuns(t, 1)
	if seen := o.taken(); len(seen) != 3 || seen[0].bearer() != seen[1].bearer() || seen[1].bearer() != seen[2].bearer() {
		t.Errorf("%d requests arrived, not all with one token", len(seen))
	}
}

// rulesOfBothKinds are a plain rule for /plain, and mcp rules for /mcp and
// /pass.
func rulesOfBothKinds(o *origin) string {
	return rule(o.url("/plain")) + mcpRule(o.url("/mcp")) + mcpRule(o.url("/pass"), `unauthorized = "pass"`)
}

// az gives a token again that was refused. Sent once more it would be refused
// once more, and no sign-in that nobody asked for is opened because of it.
func TestRefusedTokenThatAzGivesAgainIsSentOnce(t *testing.T) {
	t.Parallel()
	a := startTenants(t)
	for _, login := range []string{"auto", "notify", "off"} {
		t.Run(login, func(t *testing.T) {
			t.Parallel()
			clock := new(advanced)
			o := newOrigin(t, "h2", func(w http.ResponseWriter, _ sighting) { challenge(w) }, "api.example.test")
			b := newTestbed(t, settings{entra: a, tables: "[token]\nlogin = \"" + login + "\"\n" + azAudience + rulesOfBothKinds(o)}, at(clock))
			az := b.az(a)
			c := b.client("h2")
			for _, path := range []string{"/plain", "/pass", "/mcp"} {
				r := post(t, c, o.url(path), callTool("7"))
				if n := len(o.taken()); n != 1 {
					t.Errorf("%s: the upstream saw %d requests, want 1", path, n)
				}
				b.log.wait(t, "msg=request", "path="+path, "attempt=1", `retry="same token"`)
				if path != "/mcp" {
					wantUpstreamRefusal(t, r)
					continue
				}
				message, _ := r.explained(t, "7", http.StatusBadGateway)
				if !strings.HasSuffix(message, loginOne) && !strings.Contains(message, loginOne+" ") && !strings.Contains(message, loginOne+".") {
					t.Errorf("%q does not say %q", message, loginOne)
				}
			}
			b.log.wait(t, "token not replaced: its source gave the same again", "audience=a", "source=az", loginOne)
			az.wantRuns(t, 2) // the first token, and one attempt for three refusals
			clock.by.Add(int64(31 * time.Second))
			call(t, c, "GET", o.url("/plain"), nil).wantStatus(t, http.StatusUnauthorized)
			az.wantRuns(t, 3, "account", "get-access-token")
			az.wantRuns(t, 3)
			if strings.Contains(b.log.String(), "sign-in is needed") {
				t.Errorf("a refusal without claims asks for a sign-in:\n%s", b.log)
			}
		})
	}
}

func TestRefusedTokenThatAzReplacesHeals(t *testing.T) {
	t.Parallel()
	a := startTenants(t)
	o := newOrigin(t, "h2", protected(a, apiOne), "api.example.test")
	b := newTestbed(t, settings{entra: a, tables: azAudience + rulesOfBothKinds(o)})
	az := b.az(a)
	for i, path := range []string{"/plain", "/mcp", "/pass"} {
		call(t, b.client("h2"), "GET", o.url("/plain"), nil).wantStatus(t, http.StatusOK)
		old := o.one(t).bearer()
		a.Revoke(old)
		az.signIn()
		post(t, b.client("h2"), o.url(path), callTool("7")).wantStatus(t, http.StatusOK)
		seen := o.taken()
		if len(seen) != 2 || seen[0].bearer() != old || seen[1].bearer() == old || seen[0].sum != seen[1].sum {
			t.Errorf("%s: %d requests arrived, want the refused one once more with another token", path, len(seen))
		}
		az.wantRuns(t, i+2)
	}
}

// The files of az tell that somebody has signed in, within 5 s of a failure.
func TestSignInElsewhereHealsARefusalWithoutARestart(t *testing.T) {
	t.Parallel()
	a := startTenants(t)
	clock := new(advanced)
	o := newOrigin(t, "h2", protected(a, apiOne), "api.example.test")
	b := newTestbed(t, settings{entra: a, tables: azAudience + rulesOfBothKinds(o)}, at(clock))
	az := b.az(a)
	c := b.client("h2")
	call(t, c, "GET", o.url("/plain"), nil).wantStatus(t, http.StatusOK)
	a.RevokeAll()
	wantUpstreamRefusal(t, call(t, c, "GET", o.url("/plain"), nil))
	az.wantRuns(t, 2)

	clock.by.Add(int64(6 * time.Second))
	post(t, c, o.url("/mcp"), callTool("7")).explained(t, "7", http.StatusBadGateway)
	az.wantRuns(t, 2) // nothing has changed
	az.signIn()
	for _, path := range []string{"/mcp", "/plain"} {
		post(t, c, o.url(path), callTool("7")).wantStatus(t, http.StatusOK)
	}
	az.wantRuns(t, 3)
	az.wantRuns(t, 0, "login")
}

func TestSignInElsewhereEndsAMissingSessionWithoutARestart(t *testing.T) {
	t.Parallel()
	a := startTenants(t)
	for _, said := range []string{"not-signed-in", "aadsts70043", "aadsts50076", "aadsts700082"} {
		t.Run(said, func(t *testing.T) {
			t.Parallel()
			clock := new(advanced)
			o := newOrigin(t, "h2", protected(a, apiOne), "api.example.test")
			b := newTestbed(t, settings{entra: a, tables: azAudience + rulesOfBothKinds(o)}, at(clock))
			az := b.az(a)
			az.refuses(azSaid(t, said))
			c := b.client("h2")
			for range 3 {
				p := call(t, c, "GET", o.url("/plain"), nil).problem(t, http.StatusNetworkAuthenticationRequired)
				if p.Hint != loginOne || p.Error == nil || p.Error.Message != loginOne {
					t.Errorf("%+v does not say %q", p, loginOne)
				}
				message, _ := post(t, c, o.url("/mcp"), callTool("7")).explained(t, "7", http.StatusNetworkAuthenticationRequired)
				if !strings.Contains(message, loginOne) {
					t.Errorf("%q does not say %q", message, loginOne)
				}
			}
			clock.by.Add(int64(50 * time.Second))
			call(t, c, "GET", o.url("/plain"), nil).problem(t, http.StatusNetworkAuthenticationRequired)
			az.wantRuns(t, 1) // that is remembered
			o.nothing(t)
			az.signIn()
			call(t, c, "GET", o.url("/plain"), nil).wantStatus(t, http.StatusOK)
			post(t, c, o.url("/mcp"), callTool("7")).wantStatus(t, http.StatusOK)
			az.wantRuns(t, 2)
		})
	}
}
