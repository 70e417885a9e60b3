package main

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

// crowd sends n requests at once, shared among clients, and returns their
// statuses, counted. A sent that is not nil is called when all are written.
func crowd(t *testing.T, clients []*http.Client, n int, method, target string, sent func()) map[int]int {
	t.Helper()
	var written atomic.Int64
	trace := &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) {
		if written.Add(1) == int64(n) && sent != nil {
			sent()
		}
	}}
	var mu sync.Mutex
	statuses := map[int]int{}
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), method, target, strings.NewReader("body of a request"))
			if err != nil {
				t.Error(err)
				return
			}
			r, err := trySend(clients[i%len(clients)], req)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			statuses[r.status]++
		})
	}
	all.Wait()
	return statuses
}

// warm returns n clients that have a connection already: one connection of
// HTTP/2 carries 250 requests at once.
func (b *testbed) warm(t *testing.T, n int, proto, target string) (clients []*http.Client) {
	for range n {
		clients = append(clients, b.client(proto))
		call(t, clients[len(clients)-1], "GET", target, nil).wantStatus(t, http.StatusOK)
	}
	return clients
}

// only fails the test unless all of n requests had the status.
func only(t *testing.T, statuses map[int]int, status, n int) {
	t.Helper()
	if statuses[status] != n {
		t.Errorf("statuses %v, want %d times %d", statuses, n, status)
	}
}

// asked fails the test unless the identity service was asked n times for a
// token of api.
func asked(t *testing.T, a *entratest.Authority, api string, n int) {
	t.Helper()
	if got := a.Count(forToken(api)); got != n {
		t.Errorf("%d requests for a token, want %d", got, n)
	}
}

// The upstream answers none of those that carry the revoked token before all
// of them are there.
func TestThousandRefusalsOfOneTokenAreOneAcquisition(t *testing.T) {
	a := newIdentity(t)
	for _, tt := range []struct {
		client, upstream string
		n                int
	}{{"h2", "h2", 1000}, {"h1", "h2", 50}, {"h2", "h1", 50}, {"h1", "h1", 50}} {
		t.Run(tt.client+" to "+tt.upstream, func(t *testing.T) {
			var revoked atomic.Pointer[string]
			var arrived atomic.Int64
			everybody := make(chan struct{})
			check := protected(a, apiOne)
			o := newOrigin(t, tt.upstream, func(w http.ResponseWriter, s sighting) {
				if old := revoked.Load(); old != nil && s.bearer() == *old {
					if arrived.Add(1) == int64(tt.n) {
						close(everybody)
					}
					<-everybody
				}
				check(w, s)
			}, "api.example.test")
			b := newTestbed(t, settings{entra: a, tables: entraAudiences + rule(o.url("/"))})
			c := b.warm(t, 1+tt.n/200, tt.client, o.url("/first"))
			old, before := o.taken()[0].bearer(), a.Count(forToken(apiOne))
			a.Revoke(old)
			revoked.Store(&old)
			only(t, crowd(t, c, tt.n, "POST", o.url("/x"), nil), http.StatusOK, tt.n)
			asked(t, a, apiOne, before+1)
			if seen := o.taken(); len(seen) != 2*tt.n {
				t.Errorf("the upstream saw %d requests, want %d", len(seen), 2*tt.n)
			}
			if got := b.retries("healed"); got != int64(tt.n) {
				t.Errorf("%d healed, want %d", got, tt.n)
			}
		})
	}
}

func TestUpstreamThatRefusesEverythingCostsTwoAcquisitions(t *testing.T) {
	a := newIdentity(t)
	always := newOrigin(t, "h2", func(w http.ResponseWriter, s sighting) {
		if s.target != "/" {
			challenge(w)
		}
	}, "never.example.test")
	good := newOrigin(t, "h2", protected(a, apiOne), "api.example.test")
	b := newTestbed(t, settings{entra: a, tables: entraAudiences + rule(always.url("/x")) + rule(good.url("/"))})
	for _, client := range []string{"h1", "h2"} {
		only(t, crowd(t, b.warm(t, 1, client, always.url("/")), 50, "POST", always.url("/x"), nil), http.StatusUnauthorized, 50)
	}
	if n := a.Count(forToken(apiOne)); n > 2 {
		t.Errorf("%d requests for a token, want at most 2", n)
	}
	call(t, b.client("h2"), "GET", good.url("/x"), nil).wantStatus(t, http.StatusOK)
	a.Revoke(good.one(t).bearer())
	before := a.Count(forToken(apiOne))
	call(t, b.client("h2"), "GET", good.url("/x"), nil).wantStatus(t, http.StatusOK)
	if n := len(good.taken()); n != 2 {
		t.Errorf("the other rule's request was sent %d times, want 2", n)
	}
	asked(t, a, apiOne, before+1)
}

// held makes requests for a token of api wait, and returns what lets them go.
func held(t *testing.T, a *entratest.Authority, api string) (release func()) {
	t.Helper()
	release = sync.OnceFunc(a.Fail(failing(api, entratest.Failure{Hang: true})))
	t.Cleanup(release)
	return release
}

// reached returns once n requests for a token of api have arrived.
func reached(t *testing.T, a *entratest.Authority, api string, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), guard)
	defer cancel()
	must(t, a.WaitRequests(ctx, n, forToken(api)))
}

func TestFirstRequestsAtOnceAreOneAcquisition(t *testing.T) {
	a := newIdentity(t)
	for client, n := range map[string]int{"h1": 30, "h2": 100} {
		o := newOrigin(t, "h2", nil, "api.example.test")
		b := newTestbed(t, settings{entra: a, tables: entraAudiences + rule(o.url("/x"))})
		c := b.warm(t, 1, client, o.url("/"))
		o.taken()
		before := a.Count(forToken(apiOne))
		only(t, crowd(t, c, n, "POST", o.url("/x"), held(t, a, apiOne)), http.StatusOK, n)
		asked(t, a, apiOne, before+1)
		tokens := map[string]bool{}
		for _, s := range o.taken() {
			tokens[s.bearer()] = true
		}
		if len(tokens) != 1 || tokens[""] {
			t.Errorf("%d tokens arrived, want the same for all", len(tokens))
		}
	}
}

func TestLateRefusalOfAnOldTokenEvictsNothing(t *testing.T) {
	a := newIdentity(t)
	eachLeg(t, func(t *testing.T, client, upstream string) {
		arrived, goOn := make(chan struct{}, 1), make(chan struct{})
		check := protected(a, apiOne)
		o := newOrigin(t, upstream, func(w http.ResponseWriter, s sighting) {
			if s.header.Get("X-Slow") != "" {
				arrived <- struct{}{}
				<-goOn
			}
			check(w, s)
		}, "api.example.test")
		b := newTestbed(t, settings{entra: a, tables: entraAudiences + rule(o.url("/"))})
		c := b.client(client)
		call(t, c, "GET", o.url("/first"), nil).wantStatus(t, http.StatusOK)
		old, before := o.one(t).bearer(), a.Count(forToken(apiOne))
		slow := make(chan reply, 1)
		go func() {
			req, _ := http.NewRequestWithContext(t.Context(), "GET", o.url("/slow"), nil)
			req.Header.Set("X-Slow", "yes")
			r, err := trySend(c, req)
			if err != nil {
				t.Error(err)
			}
			slow <- r
		}()
		<-arrived // with the old token
		a.Revoke(old)
		call(t, c, "GET", o.url("/quick"), nil).wantStatus(t, http.StatusOK)
		close(goOn)
		(<-slow).wantStatus(t, http.StatusOK)
		asked(t, a, apiOne, before+1)
		seen := o.taken()
		if len(seen) != 4 || seen[3].bearer() != seen[2].bearer() || seen[0].bearer() != old {
			t.Errorf("the late request was not sent again with the token that was there: %d requests", len(seen))
		}
	})
}

func TestFirstCallerWhoLeavesTakesNobodysToken(t *testing.T) {
	for _, client := range []string{"h1", "h2"} {
		a := newIdentity(t)
		o := newOrigin(t, "h2", protected(a, apiOne), "api.example.test")
		b := newTestbed(t, settings{entra: a, tables: entraAudiences + rule(o.url("/"))})
		release := held(t, a, apiOne)
		ctx, leave := context.WithCancel(t.Context())
		left := make(chan reply, 1)
		go func() {
			req, _ := http.NewRequestWithContext(ctx, "GET", o.url("/first"), nil)
			r, _ := trySend(b.client(client), req) // an error, or what is said to those who have left
			left <- r
		}()
		reached(t, a, apiOne, 1)
		leave()
		if r := <-left; r.status == http.StatusOK {
			t.Error("the first caller was served while the source hangs")
		}
		b.log.wait(t, "msg=request", "path=/first")
		only(t, crowd(t, []*http.Client{b.client(client)}, 10, "GET", o.url("/others"), release), http.StatusOK, 10)
		asked(t, a, apiOne, 1)
		if n := len(o.taken()); n != 10 {
			t.Errorf("the upstream saw %d requests, want those of the other callers", n)
		}
	}
}

func TestAudiencesNeverShareAFlight(t *testing.T) {
	a := newIdentity(t)
	one := newOrigin(t, "h2", protected(a, apiOne), "one.example.test")
	two := newOrigin(t, "h2", protected(a, apiTwo), "two.example.test")
	b := newTestbed(t, settings{entra: a, tables: entraAudiences + rule(one.url("/")) + strings.Replace(rule(two.url("/")), `"a"`, `"b"`, 1)})
	releaseOne, releaseTwo := held(t, a, apiOne), held(t, a, apiTwo)
	var both sync.WaitGroup
	for o, release := range map[*origin]func(){one: releaseOne, two: releaseTwo} {
		both.Go(func() {
			statuses := crowd(t, []*http.Client{b.client("h2")}, 10, "GET", o.url("/x"), func() {
				reached(t, a, apiOne, 1)
				reached(t, a, apiTwo, 1) // both are under way at one moment
				release()
			})
			if statuses[http.StatusOK] != 10 {
				t.Errorf("%s: statuses %v", o.authority, statuses)
			}
		})
	}
	both.Wait()
	asked(t, a, apiOne, 1)
	asked(t, a, apiTwo, 1)
	tokens := map[string]string{}
	for _, o := range []*origin{one, two} {
		for _, s := range o.taken() {
			tokens[s.bearer()] = o.authority
		}
	}
	if len(tokens) != 2 {
		t.Errorf("%d tokens for two audiences", len(tokens))
	}
}
