package bench_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/replay"
)

const (
	acquisition = 50 * time.Millisecond
	roundTrip   = 20 * time.Millisecond
)

// BenchmarkRefusals is the moment after a token was revoked: so many requests
// are on their way with it and refused together. It reports how often the
// source was asked, how often the unluckiest request went upstream, and how much
// later than the acquisition and two round trips the last one was answered. None
// waited for anything else if that is no more than their work for the processor.
func BenchmarkRefusals(b *testing.B) {
	for _, n := range []int{100, 1000} {
		b.Run(fmt.Sprintf("requests=%d", n), func(b *testing.B) {
			var asks int64
			var most int
			var late time.Duration
			for b.Loop() {
				a, m, took := refuseAll(b, n)
				asks, most, late = asks+a, max(most, m), late+took-(acquisition+2*roundTrip)
			}
			b.ReportMetric(float64(asks)/float64(b.N), "asks/op")
			b.ReportMetric(float64(most), "roundtrips/op")
			b.ReportMetric(float64(late.Nanoseconds())/float64(b.N), "beyond-ns")
		})
	}
}

// refuseAll has n requests refused at once, and returns how often the source was
// asked for the token that follows, the most attempts that a request took, and
// the time until the last was answered.
func refuseAll(b *testing.B, n int) (asks int64, most int, took time.Duration) {
	source := new(issuer)
	tokens := newCache(b, source)
	defer tokens.Close()
	first, err := tokens.Token(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	source.wait = acquisition
	revoked := func(authorization string) bool { return strings.HasSuffix(authorization, first.Reveal()) }
	route := newRoute(b, upstream{away: roundTrip, refuse: revoked}, tokens, replay.NewBudget(256<<20))
	attempts := make([]int, n)
	body := make([]byte, 1<<10)
	var all sync.WaitGroup
	began := time.Now()
	for i := range attempts {
		all.Go(func() {
			var err error
			if attempts[i], err = post(context.Background(), route, header(), body); err != nil {
				b.Error(err)
			}
		})
	}
	all.Wait()
	took = time.Since(began)
	for _, n := range attempts {
		most = max(most, n)
	}
	return source.asks.Load() - 1, most, took
}
