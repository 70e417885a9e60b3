package retry_test

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/injectproxy/injectproxy/internal/inject"
	"github.com/injectproxy/injectproxy/internal/match"
	"github.com/injectproxy/injectproxy/internal/retry"
	"github.com/injectproxy/injectproxy/internal/token"
)

// distant is an upstream that is one round trip away and takes one token only.
type distant struct {
	trip time.Duration
	good string
	sent atomic.Int64
}

func (d *distant) RoundTrip(r *http.Request) (*http.Response, error) {
	d.sent.Add(1)
	status := http.StatusUnauthorized
	if r.Header.Get("Authorization") == "Bearer "+d.good {
		status = http.StatusOK
	}
	time.Sleep(d.trip) // of the bubble
	return &http.Response{StatusCode: status, ProtoMajor: 2, Body: http.NoBody}, nil
}

// On a clock that moves only while everybody waits, the time that a thousand
// refused requests take is exact: nobody waits for another's turn.
func TestThousandRefusalsTakeOneAcquisitionAndTwoRoundTrips(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n, trip, acquisition = 1000, 40 * time.Millisecond, 700 * time.Millisecond
		m := &mint{give: func(_ context.Context, n int) (string, error) {
			time.Sleep(acquisition)
			return []string{"", "old", "new"}[n], nil
		}}
		cache := token.NewCache(m, token.Options{})
		defer cache.Close()
		prefix, err := match.ParsePrefix("https://api.example/")
		if err != nil {
			t.Fatal(err)
		}
		d := &distant{trip: trip}
		rt := retry.New(inject.New(d, inject.Options{Prefixes: []match.Prefix{prefix}, Tokens: cache, Scheme: "Bearer"}), retry.Options{Tokens: cache})
		send := func() {
			req, err := http.NewRequestWithContext(t.Context(), "GET", "https://api.example/x", nil)
			if err != nil {
				t.Error(err)
				return
			}
			if res, err := rt.RoundTrip(req); err != nil || res.StatusCode != http.StatusOK {
				t.Errorf("%v %v", res, err)
			}
		}
		d.good = "old"
		send()
		d.good = "new"
		began, before := time.Now(), d.sent.Load()
		var all sync.WaitGroup
		for range n {
			all.Go(send)
		}
		all.Wait()
		if took := time.Since(began); took != acquisition+2*trip {
			t.Errorf("took %v, want the acquisition's %v and two round trips of %v", took, acquisition, trip)
		}
		if asked, sent := len(m.asked()), d.sent.Load()-before; asked != 2 || sent != 2*n {
			t.Errorf("%d acquisitions and %d requests upstream, want one more than the first, and %d", asked, sent, 2*n)
		}
		before = d.sent.Load()
		if send(); d.sent.Load() != before+1 {
			t.Error("a later request did not begin with the new token")
		}
	})
}
