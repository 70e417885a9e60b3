package retry_test

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/inject"
	"github.com/injectproxy/injectproxy/internal/retry"
)

func TestThousandRefusalsOfOneTokenAreOneAcquisitionAndEachIsSentOnceMore(t *testing.T) {
	t.Parallel()
	const clients = 1000
	var arrived, served atomic.Int32
	all := make(chan struct{})
	srv := serve(t, "HTTP/2.0", func(w http.ResponseWriter, r *http.Request) {
		if bearer(r) == "token-2" {
			served.Add(1)
			return
		}
		if arrived.Add(1) == clients {
			close(all)
		}
		<-all // every one of them was sent with the first token
		deny(w)
	})
	r := newRoute(t, srv)
	r.warm()
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			status, _, use := r.do("GET", nil)
			want(t, "status", status, 200)
			want(t, "attempts", use.Attempts, 2)
		})
	}
	wg.Wait()
	want(t, "acquisitions", len(r.mint.asked()), 2)
	want(t, "first attempts", arrived.Load(), clients)
	want(t, "second attempts", served.Load(), clients)
}

func TestUpstreamThatRefusesEverythingCostsTwoAcquisitions(t *testing.T) {
	t.Parallel()
	refuse := func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(401)
		io.WriteString(w, "never")
	}
	one := func(t *testing.T, r *route) {
		status, answer, use := r.do("GET", nil)
		want(t, "status", status, 401)
		want(t, "answer", answer, "never")
		if use.Attempts > 2 {
			t.Errorf("sent %d times", use.Attempts)
		}
	}
	t.Run("one after the other", func(t *testing.T) {
		r := newRoute(t, serve(t, "HTTP/1.1", refuse))
		for range 100 {
			one(t, r)
		}
		want(t, "acquisitions", len(r.mint.asked()), 2)
	})
	t.Run("at the same time", func(t *testing.T) {
		for range 10 {
			r := newRoute(t, serve(t, "HTTP/2.0", refuse))
			r.warm()
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() { one(t, r) })
			}
			wg.Wait()
			want(t, "acquisitions", len(r.mint.asked()), 2)
		}
	})
}

func TestRuleWhoseFreshTokenWasRefusedRestsLongerEachTime(t *testing.T) {
	t.Parallel()
	var clock atomic.Int64
	var accept atomic.Bool
	r := newRoute(t, serve(t, "HTTP/1.1", func(w http.ResponseWriter, r *http.Request) {
		if !accept.Load() {
			deny(w)
		}
	}), func(_ *route, o *retry.Options, _ *inject.Options) {
		o.Now = func() time.Time { return time.Unix(clock.Load(), 0) }
	})
	// step sends a request and says how many acquisitions it cost.
	step := func(outcome string) int {
		t.Helper()
		before := len(r.mint.asked())
		_, _, use := r.do("GET", nil)
		want(t, "outcome", use.Retry, outcome)
		wantWhy(t, use, map[string]string{
			"refused again": "a fresh token too",
			"cooling down":  "another is fetched at " + time.Unix(clock.Load()+1, 0).Format(time.TimeOnly),
		}[outcome])
		return len(r.mint.asked()) - before
	}
	step("refused again")
	for _, rest := range []int64{30, 60, 120, 240, 480, 600, 600} {
		clock.Add(rest - 1)
		want(t, "acquisitions before the rest is over", step("cooling down"), 0)
		clock.Add(1)
		want(t, "acquisitions after it", step("refused again"), 1)
	}
	accept.Store(true)
	want(t, "acquisitions of an accepted request", step(""), 0)
	accept.Store(false)
	want(t, "acquisitions once one was accepted", step("refused again"), 1)
	clock.Add(30)
	want(t, "acquisitions after the first rest of a new series", step("refused again"), 1)
}

func TestServerErrorIsNoAcceptance(t *testing.T) {
	t.Parallel()
	var status atomic.Int32
	r := newRoute(t, serve(t, "HTTP/1.1", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(int(status.Load())) }))
	for range 10 {
		for _, s := range []int32{401, 503} {
			status.Store(s)
			r.do("GET", nil)
		}
	}
	want(t, "acquisitions", len(r.mint.asked()), 2)
}

func TestOtherRulesOfTheAudienceHealMeanwhile(t *testing.T) {
	t.Parallel()
	var revoked sync.Map
	srv := serve(t, "HTTP/1.1", func(w http.ResponseWriter, r *http.Request) {
		if _, gone := revoked.Load(bearer(r)); gone || r.Header.Get("X-Never") != "" {
			deny(w)
		}
	})
	r := newRoute(t, srv)
	healthy, never := r.chain, r.rule()
	refused := func() (outcome string) {
		r.chain = never
		req, use := r.request("GET", nil)
		req.Header.Set("X-Never", "yes")
		r.send(req)
		return use.Retry
	}
	want(t, "the rule that is refused", refused(), "refused again")
	want(t, "and now rests", refused(), "cooling down")
	for _, dead := range []string{"token-2", "token-3"} {
		revoked.Store(dead, true)
		r.chain = healthy
		status, _, use := r.do("GET", nil)
		want(t, "status of the other rule", status, 200)
		want(t, "outcome of the other rule", use.Retry, "healed")
	}
	want(t, "the rule that is refused", refused(), "cooling down")
}

func TestLateRefusalOfAnOldTokenEvictsNothing(t *testing.T) {
	t.Parallel()
	old, answer := make(chan struct{}), make(chan struct{})
	r := newRoute(t, serve(t, "HTTP/2.0", func(w http.ResponseWriter, r *http.Request) {
		if bearer(r) != "token-1" {
			return
		}
		if r.Header.Get("X-Late") != "" {
			close(old)
			<-answer
		}
		deny(w)
	}))
	late, use := r.request("GET", nil)
	late.Header.Set("X-Late", "yes")
	done := make(chan struct{})
	go func() {
		defer close(done)
		status, _ := r.send(late)
		want(t, "status of the late one", status, 200)
		want(t, "its token", use.Token.Reveal(), "token-2")
	}()
	<-old
	status, _, _ := r.do("GET", nil)
	want(t, "status of the other", status, 200)
	close(answer)
	<-done
	want(t, "acquisitions", len(r.mint.asked()), 2)
}
