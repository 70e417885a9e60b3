package main

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/entratest"
)

// on has an instance go by the clock.
func (a *advanced) on(_ *config.Config, s *surroundings) { s.now = a.now }

// pass has d pass on the clock.
func (a *advanced) pass(d time.Duration) { a.by.Add(int64(d)) }

// A hundred requests in ten seconds, one after the other: each finds what the
// one before has left.
func TestUpstreamThatRefusesEverythingForTenSecondsCostsTwoAcquisitions(t *testing.T) {
	c := newCloud(t)
	c.asSecret(t)
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden} {
		a, clock := c.fresh(), new(advanced)
		o := newOrigin(t, "h2", func(w http.ResponseWriter, s sighting) {
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			w.WriteHeader(status)
		}, "api.example.test")
		b := c.bed(t, settings{entra: c.Authority, tables: audience("a", `client_id = "`+a.id+`"`) + rule(o.url("/"))}, clock.on)
		client := b.client("h2")
		for range 100 {
			call(t, client, "POST", o.url("/x"), strings.NewReader("body")).wantStatus(t, status)
			clock.pass(100 * time.Millisecond)
		}
		if n := len(c.asks(a)); n > 2 {
			t.Errorf("%d requests for a token, want at most 2", n)
		}
		if n := len(o.taken()); n > 101 {
			t.Errorf("the upstream saw %d requests, want one replay at most", n)
		}
	}
}

// While the identity service is down, and while a refresh hangs that would
// succeed, requests are answered: nobody waits for what nobody needs yet.
func TestTokenInsideItsMarginServesUntilTheIdentityServiceIsBack(t *testing.T) {
	c := newCloud(t)
	c.asSecret(t)
	a, clock := c.fresh(), new(advanced)
	o := newOrigin(t, "h2", protected(c.Authority, a.id), "api.example.test")
	b := c.bed(t, settings{entra: c.Authority, tables: audience("a", `client_id = "`+a.id+`"`) + rule(o.url("/"))}, clock.on)
	client := b.client("h2")
	served := func() (token string) {
		t.Helper()
		call(t, client, "GET", o.url("/x"), nil).wantStatus(t, http.StatusOK)
		return o.one(t).bearer()
	}
	old := served()
	clock.pass(56 * time.Minute)
	c.Down()
	for range 10 {
		if served() != old {
			t.Error("another token while the identity service is down")
		}
	}
	b.log.wait(t, `msg="no token"`, "cannot be reached")

	c.Up()
	before := len(c.asks(a))
	release := c.Fail(failing(a.id, entratest.Failure{Hang: true}))
	for range 10 {
		if served() != old {
			t.Error("another token before the refresh may be tried again")
		}
	}
	if n := len(c.asks(a)); n != before {
		t.Errorf("asked %d times within half a minute", n-before)
	}
	clock.pass(31 * time.Second)
	if served() != old {
		t.Error("another token than the one there is")
	}
	reached(t, c.Authority, a.id, before+1)
	for range 10 {
		if served() != old {
			t.Error("another token while the refresh hangs")
		}
	}
	release()
	b.log.wait(t, `msg="new token"`, "audience=a")
	if served() == old {
		t.Error("the token was refreshed, and is not used")
	}
	if n := len(c.asks(a)); n != before+1 {
		t.Errorf("asked %d times, want once", n-before)
	}
}

// set is a clock that somebody sets.
type set struct{ by atomic.Int64 }

func (s *set) now() time.Time { return time.Now().Add(time.Duration(s.by.Load())).Round(0) }

// Tokens live for a day, by the identity service's own clock, which is right.
func TestClockThatIsSetSendsNoEndedTokenAndAsksSeldom(t *testing.T) {
	c := newCloud(t, func(o *entratest.Options) { o.Lifetime = 24 * time.Hour })
	c.asSecret(t)
	a, clock := c.fresh(), new(set)
	o := newOrigin(t, "h2", nil, "api.example.test")
	b := c.bed(t, settings{entra: c.Authority, tables: audience("a", `client_id = "`+a.id+`"`) + rule(o.url("/"))},
		func(_ *config.Config, s *surroundings) { s.now = clock.now })
	client := b.client("h2")
	most := 0
	for i, step := range []struct {
		to     time.Duration // from the right time
		asks   int           // at most, for all requests at that time
		served bool
	}{
		{0, 1, true},
		{-10 * time.Hour, 0, true}, // set back: it lives on
		{0, 0, true},
		{23*time.Hour + 57*time.Minute, 1, true}, // inside the margin: refreshed once
		{-48 * time.Hour, 0, true},               // the new one, in what was the past
		{25 * time.Hour, 1, false},               // by that clock even a new one has ended
		{0, 0, true},
		{26 * time.Hour, 1, false},
		{-time.Hour, 0, true},
	} {
		clock.by.Store(int64(step.to))
		most += step.asks
		for range 20 {
			r := call(t, client, "GET", o.url("/x"), nil)
			if !step.served {
				if p := r.problem(t, http.StatusBadGateway); !strings.Contains(p.Hint, "clock") {
					t.Errorf("step %d: %+v", i, p)
				}
				continue
			}
			r.wantStatus(t, http.StatusOK)
		}
		for _, s := range o.taken() {
			claims, err := c.Validate(s.bearer(), a.id)
			if exp, _ := claims["exp"].(float64); err != nil || !clock.now().Before(time.Unix(int64(exp), 0)) {
				t.Errorf("step %d: a token that ends at %v was sent at %v: %v", i, time.Unix(int64(exp), 0), clock.now(), err)
			}
		}
		if n := len(c.asks(a)); n > most {
			t.Fatalf("step %d: %d requests for a token by now, want at most %d", i, n, most)
		}
	}
}
