package token

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestLiveTokenIsReturnedWithoutAsking(t *testing.T) {
	inBubble(t, Options{Margin: 5 * time.Minute}, time.Hour, func(t *testing.T, src *issuer, c *Cache) {
		take(t, c, "value-1")
		time.Sleep(55*time.Minute - time.Nanosecond)
		atOnce(t, func() { take(t, c, "value-1") })
		synctest.Wait()
		wantAsks(t, src, 1)
	})
}

func TestCachedTokenAllocatesNothing(t *testing.T) {
	c := NewCache(newIssuer(time.Hour), Options{Margin: time.Minute})
	defer c.Close()
	take(t, c, "value-1")
	if n := testing.AllocsPerRun(100, func() { c.Token(t.Context()) }); n != 0 {
		t.Errorf("%v allocations for a cached token, want 0", n)
	}
}

func TestMarginReturnsOldTokenWhileOneRefreshRuns(t *testing.T) {
	inBubble(t, Options{Margin: 5 * time.Minute}, time.Hour, func(t *testing.T, src *issuer, c *Cache) {
		take(t, c, "value-1")
		src.work = 10 * time.Second
		time.Sleep(55 * time.Minute)
		atOnce(t, func() {
			for range 100 {
				take(t, c, "value-1")
			}
		})
		time.Sleep(src.work)
		synctest.Wait()
		take(t, c, "value-2")
		wantAsks(t, src, 2)
	})
}

func TestRefreshAttemptsAreThirtySecondsApart(t *testing.T) {
	down := &Error{Class: Transient, Message: "down"}
	for name, tt := range map[string]struct {
		life, margin time.Duration
		down         error
		repeat       bool
		first        time.Duration // attempt after the acquisition
	}{
		"source down":              {life: time.Hour, margin: 5 * time.Minute, down: down, first: 55 * time.Minute},
		"source repeats itself":    {life: time.Hour, margin: 5 * time.Minute, repeat: true, first: 55 * time.Minute},
		"margin beyond life":       {life: 4 * time.Minute, margin: 5 * time.Minute, first: 30 * time.Second},
		"margin beyond life, down": {life: 4 * time.Minute, margin: time.Hour, down: down, first: 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Options{Margin: tt.margin}, tt.life, func(t *testing.T, src *issuer, c *Cache) {
				tok := take(t, c, "value-1")
				src.set(tt.down, tt.repeat)
				end := time.Now().Add(min(tt.life, tt.first+4*time.Minute))
				time.Sleep(tt.first - time.Second)
				for time.Now().Before(end.Add(-time.Second)) {
					atOnce(t, func() {
						if _, err := c.Token(t.Context()); err != nil {
							t.Fatalf("%v before the expiry: %v", time.Until(tok.Expiry()), err)
						}
					})
					time.Sleep(time.Second)
					synctest.Wait()
				}
				want := 1 + int(time.Since(src.born)-tt.first)/int(refreshEvery) + 1
				if len(src.at) != want {
					t.Errorf("%d attempts at %v, want %d", len(src.at), src.at, want)
				}
				for i := 2; i < len(src.at); i++ {
					if gap := src.at[i] - src.at[i-1]; gap < refreshEvery {
						t.Errorf("two attempts %v apart", gap)
					}
				}
				if src.at[1] < tt.first {
					t.Errorf("first attempt after %v, want %v", src.at[1], tt.first)
				}
			})
		})
	}
}

func TestOldTokenIsReturnedUntilItExpiresAndNeverAfter(t *testing.T) {
	inBubble(t, Options{Margin: 5 * time.Minute}, time.Hour, func(t *testing.T, src *issuer, c *Cache) {
		take(t, c, "value-1")
		src.set(&Error{Class: Transient, Message: "down"}, false)
		time.Sleep(time.Hour - time.Nanosecond)
		take(t, c, "value-1")
		time.Sleep(time.Nanosecond)
		if got, err := c.Token(t.Context()); err == nil || !got.IsZero() {
			t.Fatalf("at its expiry Token = %v, %v; want no token", got, err)
		}
		src.set(nil, false)
		time.Sleep(transientPause)
		take(t, c, "value-2")
	})
}

func TestTokenOfUnknownExpiryIsKeptUntilRefused(t *testing.T) {
	inBubble(t, Options{Margin: 5 * time.Minute}, 0, func(t *testing.T, src *issuer, c *Cache) {
		first := take(t, c, "value-1")
		time.Sleep(20 * 365 * 24 * time.Hour)
		take(t, c, "value-1")
		synctest.Wait()
		wantAsks(t, src, 1)
		swap(t, c, first, "", "value-2")
		take(t, c, "value-2")
	})
}

func TestFirstRequestsShareOneAcquisition(t *testing.T) {
	inBubble(t, Options{}, time.Hour, func(t *testing.T, src *issuer, c *Cache) {
		src.work = time.Second
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() { take(t, c, "value-1") })
		}
		wg.Wait()
		wantAsks(t, src, 1)
	})
}

func TestWhoMissedTheFlightGetsItsOutcome(t *testing.T) {
	inBubble(t, Options{}, time.Hour, func(t *testing.T, src *issuer, c *Cache) {
		sawNone := plainQuery(c.current.Load())
		take(t, c, "value-1")
		if got, err := c.wait(t.Context(), sawNone); err != nil || got.Reveal() != "value-1" {
			t.Errorf("got %q, %v", got.Reveal(), err)
		}
		wantAsks(t, src, 1)
	})
}

func TestCallerWhoLeavesCancelsItsOwnWaitOnly(t *testing.T) {
	inBubble(t, Options{}, time.Hour, func(t *testing.T, src *issuer, c *Cache) {
		src.work = 10 * time.Second
		ctx, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			atOnce(t, func() {
				if _, err := c.Token(ctx); !errors.Is(err, context.Canceled) {
					t.Errorf("who left got %v", err)
				}
			})
		})
		synctest.Wait()
		wg.Go(func() { take(t, c, "value-1") })
		synctest.Wait()
		leave()
		wg.Wait()
		wantAsks(t, src, 1)

		src.work = 0
		if _, err := c.Replace(ctx, take(t, c, "value-1"), ""); !errors.Is(err, context.Canceled) {
			t.Errorf("Replace for who has left: %v", err)
		}
		synctest.Wait()
		wantAsks(t, src, 1)
	})
}

func TestTwoAudiencesShareNothing(t *testing.T) {
	inBubble(t, Options{}, time.Hour, func(t *testing.T, src *issuer, c *Cache) {
		var hanging atomic.Bool
		other := NewCache(sourceFunc(func(ctx context.Context, _ Ask) (Token, error) {
			hanging.Store(true)
			<-ctx.Done()
			return Token{}, ctx.Err()
		}), Options{Name: "models"})
		defer other.Close()
		go other.Token(t.Context())
		synctest.Wait()
		if !hanging.Load() {
			t.Fatal("the other audience's source was not asked")
		}
		atOnce(t, func() { take(t, c, "value-1") })
	})
}

func BenchmarkTokenCached(b *testing.B) {
	c := NewCache(newIssuer(time.Hour), Options{Margin: 5 * time.Minute})
	defer c.Close()
	if _, err := c.Token(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if t, err := c.Token(context.Background()); err != nil || t.IsZero() {
				b.Error(err)
			}
		}
	})
}
