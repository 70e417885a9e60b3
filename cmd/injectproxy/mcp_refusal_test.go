package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/entratest"
	"github.com/injectproxy/injectproxy/internal/token"
)

// refusing answers 401 and repeats the token, as no server should.
func refusing(w http.ResponseWriter, s sighting) {
	w.Header().Set("X-Token", s.bearer())
	w.Header().Set("WWW-Authenticate", `Bearer realm="`+s.bearer()+`", error="invalid_token"`)
	w.WriteHeader(http.StatusUnauthorized)
	fmt.Fprintf(w, "not %s", s.bearer())
}

// wantSecret fails the test if an answer has anything of the tokens.
func (r reply) wantSecret(t testing.TB, tokens ...string) {
	t.Helper()
	for _, token := range tokens {
		if all := fmt.Sprint(r.header) + r.body; token == "" || strings.Contains(all, token) {
			t.Errorf("the token %q is in the answer: %s", token, all)
		}
	}
}

func TestRefusalThatCannotBeMendedIsExplained(t *testing.T) {
	a := newIdentity(t)
	eachLeg(t, func(t *testing.T, client, upstream string) {
		o := newOrigin(t, upstream, refusing, "api.example.test")
		b := newTestbed(t, settings{entra: a, tables: entraAudiences + mcpRule(o.url("/"), `name = "tools"`)})
		c := b.client(client)
		r := post(t, c, o.url("/mcp"), callTool("1e3"))
		message, p := r.explained(t, "1e3", http.StatusBadGateway)
		seen := o.taken()
		if len(seen) != 2 {
			t.Fatalf("sent %d times, want 2", len(seen))
		}
		r.wantSecret(t, seen[0].bearer(), seen[1].bearer())
		if p.Title != "The server refused the token" || p.Type != "urn:injectproxy:problem:token-rejected" || r.header.Get("X-Should-Retry") != "false" {
			t.Errorf("%+v, %v", p, r.header)
		}
		for _, s := range []string{o.authority, "refused a fresh token too", "audience a ", "rule tools "} {
			if !strings.Contains(message, s) {
				t.Errorf("%q does not say %q", message, s)
			}
		}
		if s := r.header.Get("Proxy-Status"); !strings.Contains(s, "; received-status=401") {
			t.Errorf("Proxy-Status %q", s)
		}
		b.log.wait(t, "msg=request", "rule=tools", "status=200", "attempt=2", `retry="refused again"`, `problem="The server refused the token"`)

		// The rule rests now, and a refusal is met at once.
		r = post(t, c, o.url("/mcp"), callTool("2"))
		r.explained(t, "2", http.StatusBadGateway)
		r.wantSecret(t, o.one(t).bearer())
		b.log.wait(t, "msg=request", "status=200", "attempt=1", `retry="cooling down"`)

		for name, r := range map[string]reply{
			"GET":          call(t, c, "GET", o.url("/mcp"), nil, "Accept", "text/event-stream"),
			"DELETE":       call(t, c, "DELETE", o.url("/mcp"), nil),
			"notification": post(t, c, o.url("/mcp"), `{"jsonrpc":"2.0","method":"notifications/initialized"}`),
		} {
			if p := r.problem(t, http.StatusBadGateway); p.Title != "The server refused the token" {
				t.Errorf("%s: %+v", name, p)
			}
			r.wantSecret(t, seen[1].bearer())
		}
	})
}

// A source that can only give the same token is named, with what it needs.
func TestSourceThatHasNoOtherTokenIsNamed(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		audience string
		says     []string
	}{
		"file":    {fileAudiences, []string{"token_file", "write a valid token to "}},
		"command": {"[audience.a]\ntoken_command = [\"echo\", \"" + tokenA + "\"]\n", []string{"token_command", "refused"}},
	} {
		t.Run(name, func(t *testing.T) {
			eachLeg(t, func(t *testing.T, client, upstream string) {
				o := newOrigin(t, upstream, refusing, "api.example.test")
				b := newTestbed(t, settings{tables: tt.audience + mcpRule(o.url("/")), files: tokenFiles})
				for range 2 {
					r := post(t, b.client(client), o.url("/mcp"), callTool(`"x"`))
					message, _ := r.explained(t, `"x"`, http.StatusBadGateway)
					r.wantSecret(t, tokenA)
					for _, s := range tt.says {
						if !strings.Contains(message, s) {
							t.Errorf("%q does not say %q", message, s)
						}
					}
					o.one(t)
				}
				b.log.wait(t, "msg=request", "status=200", "attempt=1", `retry="same token"`)
			})
		})
	}
}

// What to do is said where the source does not say it.
func TestRefusalAlwaysHasAHint(t *testing.T) {
	t.Parallel()
	tok, err := token.New("value", "vault", time.Time{})
	must(t, err)
	for name, tt := range map[string]struct {
		use   token.Use
		says  []string
		final bool
	}{
		"same token":     {token.Use{Retry: "same token", Why: &token.Error{Source: "vault", Message: "gave it again", Err: token.ErrSame}}, []string{"; vault: gave it again.", "have the vault of audience a give another"}, true},
		"its own hint":   {token.Use{Retry: "same token", Why: &token.Error{Message: "no", Hint: "az login", Err: token.ErrSame}}, []string{"az login"}, true},
		"broken body":    {token.Use{Retry: "body broken", Why: errors.New("it broke")}, []string{"; it broke.", "try again"}, false},
		"identity busy":  {token.Use{Retry: "refresh failed", Why: &token.Error{Class: token.Transient}}, []string{"audience a "}, false},
		"nothing known":  {token.Use{}, []string{"the token from vault.", "audience a ", "rule tools "}, true},
		"not sent again": {token.Use{Retry: "resend failed", Why: errors.New("gone")}, []string{"; gone.", "audience a "}, true},
	} {
		tt.use.Token = tok
		a := explaining{rule: "tools", audience: "a"}.refused("api.example.test:443", &tt.use)
		for _, s := range tt.says {
			if !strings.Contains(a.Detail+a.Hint, s) {
				t.Errorf("%s: %q is not in %q or %q", name, s, a.Detail, a.Hint)
			}
		}
		if a.Final != tt.final || a.Final == (a.RetryAfter > 0 || tt.use.Retry == "body broken") {
			t.Errorf("%s: final %v, to be tried again after %v", name, a.Final, a.RetryAfter)
		}
	}
}

// That the source has trouble is what the user has to know.
func TestTroubleOfTheSourceAfterARefusalIsExplained(t *testing.T) {
	a := newIdentity(t)
	for name, tt := range map[string]struct {
		failure entratest.Failure
		says    string
		final   string
	}{
		"second factor": {entratest.AADSTS(50076), "az login", "false"},
		"throttled":     {entratest.Failure{Status: 429, RetryAfter: 17 * time.Second}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOrigin(t, "h2", protected(a, apiOne), "api.example.test")
			b := newTestbed(t, settings{entra: a, tables: entraAudiences + mcpRule(o.url("/"))})
			post(t, b.client("h1"), o.url("/mcp"), callTool("1")).wantStatus(t, http.StatusOK)
			a.Revoke(o.one(t).bearer())
			defer a.Fail(failing(apiOne, tt.failure))()
			r := post(t, b.client("h1"), o.url("/mcp"), callTool("2"))
			message, _ := r.explained(t, "2", http.StatusBadGateway)
			if !strings.Contains(message, tt.says) || r.header.Get("X-Should-Retry") != tt.final || (r.header.Get("Retry-After") == "17") != (tt.final == "") {
				t.Errorf("%q, %v", message, r.header)
			}
			r.wantSecret(t, o.one(t).bearer())
		})
	}
}

// What is not the proxy's to explain arrives as it was.
func TestRefusalPassesWhereItIsNotExplained(t *testing.T) {
	a := newIdentity(t)
	eachLeg(t, func(t *testing.T, client, upstream string) {
		o := newOrigin(t, upstream, func(w http.ResponseWriter, s sighting) {
			if s.target == "/explain/forbidden" {
				w.Header().Set("WWW-Authenticate", `Bearer realm="api", error="invalid_token"`)
				w.WriteHeader(http.StatusForbidden)
				io.WriteString(w, "the upstream's own refusal")
				return
			}
			challenge(w)
		}, "api.example.test")
		b := newTestbed(t, settings{entra: a, tables: entraAudiences + mcpRule(o.url("/pass"), `unauthorized = "pass"`) +
			mcpRule(o.url("/keep"), `existing = "keep"`) + rule(o.url("/llm"), `kind = "llm"`) + rule(o.url("/http")) + mcpRule(o.url("/explain"))})
		c := b.client(client)
		for _, path := range []string{"/pass", "/llm", "/http"} {
			wantUpstreamRefusal(t, post(t, c, o.url(path), callTool("1")))
		}
		own := []string{"Content-Type", "application/json", "Accept", streamable, "Authorization", "Bearer the-client's-own"}
		wantUpstreamRefusal(t, call(t, c, "POST", o.url("/keep"), strings.NewReader(callTool("1")), own...))
		post(t, c, o.url("/keep"), callTool("1")).explained(t, "1", http.StatusBadGateway)

		r := post(t, c, o.url("/explain/forbidden"), callTool("1"))
		r.wantStatus(t, http.StatusForbidden)
		if r.body != "the upstream's own refusal" || r.header.Get("WWW-Authenticate") == "" {
			t.Errorf("the 403 did not arrive as it was: %v %q", r.header, r.body)
		}
	})
}

// The token was replaced although the request could not be sent again: trying
// again does help.
func TestMessageThatWasNotHeldMayBeTriedAgain(t *testing.T) {
	a := newIdentity(t)
	eachLeg(t, func(t *testing.T, client, upstream string) {
		for outcome, limit := range map[string]string{"body too large": "body_limit = 8", "memory budget": `memory = "1KiB"`} {
			o := newOrigin(t, upstream, protected(a, apiOne), "api.example.test")
			b := newTestbed(t, settings{entra: a, tables: "[retry]\n" + limit + "\n" + entraAudiences + mcpRule(o.url("/"))})
			c := b.client(client)
			post(t, c, o.url("/mcp"), callTool("1")).wantStatus(t, http.StatusOK)
			a.Revoke(o.one(t).bearer())
			message := callTool(`"` + strings.Repeat("x", 2000) + `"`)
			r := post(t, c, o.url("/mcp"), message)
			said, _ := r.explained(t, `"`+strings.Repeat("x", 2000)+`"`, http.StatusBadGateway)
			if r.header.Get("X-Should-Retry") != "" || !strings.Contains(said, "again") {
				t.Errorf("%s: %q, %v", outcome, said, r.header)
			}
			o.one(t)
			b.log.wait(t, "msg=request", "attempt=1", `retry="`+outcome+`"`)
			post(t, c, o.url("/mcp"), message).wantStatus(t, http.StatusOK)
			if served := o.one(t); served.size != int64(len(message)) {
				t.Errorf("%d bytes arrived, want %d", served.size, len(message))
			}
		}
	})
}
