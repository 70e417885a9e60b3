package main

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/entratest"
)

// deadline is the token.timeout of these tests, and ten times it what a client
// waits at most.
const deadline = 500 * time.Millisecond

// impatient returns a client that waits for ten times the deadline.
func (b *testbed) impatient(proto string) *http.Client {
	c := b.client(proto)
	c.Timeout = 10 * deadline
	return c
}

// whileWaiting sends a request that has to wait for a token, calls meanwhile
// once waits says that it does, and returns the answer.
func (b *testbed) whileWaiting(c *http.Client, target string, waits, meanwhile func()) reply {
	b.t.Helper()
	answer := make(chan reply, 1)
	go func() {
		req, _ := http.NewRequestWithContext(b.t.Context(), "POST", target, strings.NewReader("body"))
		r, err := trySend(c, req)
		if err != nil {
			b.t.Error(err)
		}
		answer <- r
	}()
	waits()
	meanwhile()
	return <-answer
}

func TestSourceInTroubleIsA503AndNothingIsSent(t *testing.T) {
	asTestClient(t)
	for name, trouble := range map[string]func(*testing.T, *entratest.Authority){
		"down":    func(_ *testing.T, a *entratest.Authority) { a.Down() },
		"hanging": func(t *testing.T, a *entratest.Authority) { held(t, a, apiOne) },
		"reset":   func(_ *testing.T, a *entratest.Authority) { a.Fail(failing(apiOne, entratest.Failure{Reset: true})) },
		"slow": func(_ *testing.T, a *entratest.Authority) {
			a.Fail(failing(apiOne, entratest.Failure{Delay: time.Hour}))
		},
		"500": func(_ *testing.T, a *entratest.Authority) { a.Fail(failing(apiOne, entratest.Failure{Status: 500})) },
		"odd": func(_ *testing.T, a *entratest.Authority) {
			a.Fail(failing(apiOne, entratest.Failure{Status: 503, Body: "<html>"}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := startIdentity(t)
			o := newOrigin(t, "h2", nil, "api.example.test")
			other := "[audience.file]\ntoken_file = \"a.token\"\n" + strings.Replace(rule(o.url("/file")), `"a"`, `"file"`, 1)
			b := newTestbed(t, settings{
				entra: a, tables: "[token]\ntimeout = \"500ms\"\n" + entraAudiences + other + rule(o.url("/x")), files: tokenFiles,
			})
			trouble(t, a)
			for _, client := range []string{"h1", "h2"} {
				r := b.whileWaiting(b.impatient(client), o.url("/x"), func() {}, func() {
					call(t, b.client(client), "GET", o.url("/file"), nil).wantStatus(t, http.StatusOK)
					if seen := o.one(t); seen.bearer() != tokenA {
						t.Errorf("another audience got %q", seen.bearer())
					}
				})
				p := r.problem(t, http.StatusServiceUnavailable)
				if p.Type != "urn:injectproxy:problem:identity-unavailable" || r.header.Get("Retry-After") == "" || p.Error != nil {
					t.Errorf("%+v, Retry-After %q", p, r.header.Get("Retry-After"))
				}
				o.nothing(t)
			}
		})
	}
}

// The other audience is served while the one whose source hangs is waiting
// for it, which the order of events shows.
func TestHangingSourceHoldsUpNoOtherAudience(t *testing.T) {
	a := newIdentity(t)
	one := newOrigin(t, "h2", nil, "one.example.test")
	two := newOrigin(t, "h2", protected(a, apiTwo), "two.example.test")
	b := newTestbed(t, settings{entra: a, tables: entraAudiences + rule(one.url("/")) + strings.Replace(rule(two.url("/")), `"a"`, `"b"`, 1)})
	release := held(t, a, apiOne)
	r := b.whileWaiting(b.client("h2"), one.url("/x"), func() { reached(t, a, apiOne, 1) }, func() {
		call(t, b.client("h1"), "GET", two.url("/x"), nil).wantStatus(t, http.StatusOK)
		one.nothing(t)
		release()
	})
	r.wantStatus(t, http.StatusOK)
}

func TestTokenCommandThatHangsIsEndedByTheDeadline(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	tables := "[token]\ntimeout = \"3s\"\n[audience.a]\ntoken_command = [\"sh\", \"-c\", \"echo canary; exec sleep 3600\"]\n" +
		"[audience.b]\ntoken_command = [\"sh\", \"-c\", \"echo from-the-command\"]\n"
	b := newTestbed(t, settings{tables: tables + rule(o.url("/")) + strings.Replace(rule(o.url("/b")), `"a"`, `"b"`, 1)})
	r := b.whileWaiting(b.impatient("h2"), o.url("/x"), func() {}, func() {
		call(t, b.client("h1"), "GET", o.url("/b"), nil).wantStatus(t, http.StatusOK)
	})
	if p := r.problem(t, http.StatusServiceUnavailable); strings.Contains(r.body, "canary") || p.Error != nil {
		t.Errorf("%s", r.body)
	}
	if seen := o.one(t); seen.bearer() != "from-the-command" || seen.target != "/b" {
		t.Errorf("%s arrived with token %q", seen.target, seen.bearer())
	}
}

func TestFailureToGetATokenSaysWhatToDo(t *testing.T) {
	asTestClient(t)
	for _, tt := range []struct {
		name    string
		failure entratest.Failure
		status  int
		kind    string
		final   bool
		says    []string // in detail and hint together
		after   string   // Retry-After
	}{
		{"second factor", entratest.AADSTS(50076), 511, "sign-in-needed", true, []string{"AADSTS50076", "az login", "api://" + apiOne}, ""},
		{"unknown API", entratest.AADSTS(500011), 502, "token-misconfigured", true, []string{"AADSTS500011", "client_id"}, ""},
		{"wrong secret", entratest.AADSTS(7000215), 502, "token-misconfigured", true, []string{"AADSTS7000215", "AZURE_CLIENT_SECRET"}, ""},
		{"no consent", entratest.AADSTS(65001), 502, "token-refused", true, []string{"AADSTS65001", "consent"}, ""},
		{"policy", entratest.AADSTS(53003), 502, "token-refused", true, []string{"AADSTS53003", "conditional access"}, ""},
		{"never heard of", entratest.AADSTS(99999), 502, "token-misconfigured", true, []string{"AADSTS99999"}, ""},
		{"throttled", entratest.Failure{Status: 429, RetryAfter: 17 * time.Second}, 503, "identity-unavailable", false, nil, "17"},
		{"busy", entratest.Failure{Status: 503, RetryAfter: 33 * time.Second}, 503, "identity-unavailable", false, nil, "33"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := startIdentity(t)
			o := newOrigin(t, "h2", nil, "api.example.test")
			b := newTestbed(t, settings{entra: a, tables: entraAudiences + rule(o.url("/"))})
			a.Fail(failing(apiOne, tt.failure))
			for _, client := range []string{"h1", "h2"} {
				r := call(t, b.client(client), "POST", o.url("/x"), strings.NewReader("body"))
				p := r.problem(t, tt.status)
				if p.Type != "urn:injectproxy:problem:"+tt.kind || (p.Error != nil) != tt.final || r.header.Get("Retry-After") != tt.after {
					t.Errorf("%+v, Retry-After %q", p, r.header.Get("Retry-After"))
				}
				for _, s := range tt.says {
					if !strings.Contains(p.Detail+p.Hint, s) {
						t.Errorf("%q is not in %q or %q", s, p.Detail, p.Hint)
					}
				}
				if p.Error != nil && (p.Error.Type != tt.kind || p.Error.Message != p.Hint || p.Hint == "") {
					t.Errorf("error %+v beside hint %q", *p.Error, p.Hint)
				}
				o.nothing(t)
			}
			b.log.wait(t, "msg=request", fmt.Sprintf("status=%d", tt.status), "problem=")
		})
	}
}

// advanced is a clock that can be set forward.
type advanced struct{ by atomic.Int64 }

func (a *advanced) now() time.Time { return time.Now().Add(time.Duration(a.by.Load())) }

// Tokens live an hour, and are due for a refresh five minutes before.
func TestTokenInsideItsMarginIsUsedWhileTheSourceHangs(t *testing.T) {
	asTestClient(t)
	eachLeg(t, func(t *testing.T, client, upstream string) {
		t.Parallel()
		a := startIdentity(t)
		clock := new(advanced)
		o := newOrigin(t, upstream, nil, "api.example.test")
		b := newTestbed(t, settings{entra: a, tables: "[token]\ntimeout = \"3s\"\n" + entraAudiences + rule(o.url("/"))},
			func(_ *config.Config, s *surroundings) { s.now = clock.now })
		c := b.client(client)
		call(t, c, "GET", o.url("/x"), nil).wantStatus(t, http.StatusOK)
		token, before := o.one(t).bearer(), a.Count(forToken(apiOne))
		held(t, a, apiOne)
		clock.by.Store(int64(56 * time.Minute))
		for range 3 {
			call(t, c, "GET", o.url("/x"), nil).wantStatus(t, http.StatusOK)
			if seen := o.one(t); seen.bearer() != token {
				t.Error("another token was sent while the source hangs")
			}
		}
		reached(t, a, apiOne, before+1) // the refresh, which nobody waited for
		b.log.wait(t, "no token", "audience=a")
		asked(t, a, apiOne, before+1)

		clock.by.Store(int64(61 * time.Minute)) // it has ended
		call(t, c, "GET", o.url("/x"), nil).problem(t, http.StatusServiceUnavailable)
		o.nothing(t)
	})
}
