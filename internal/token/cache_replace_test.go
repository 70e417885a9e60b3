package token

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestLateRefusalEvictsNothing(t *testing.T) {
	inBubble(t, Options{}, time.Hour, func(t *testing.T, src *issuer, c *Cache) {
		first := take(t, c, "value-1")
		swap(t, c, first, "", "value-2")
		atOnce(t, func() {
			swap(t, c, first, "", "value-2")
			swap(t, c, first, `{"access_token":{}}`, "value-2")
		})
		take(t, c, "value-2")
		wantAsks(t, src, 2)
	})
}

func TestLateRefusalIsNotAnsweredWithATokenThatHasEnded(t *testing.T) {
	inBubble(t, Options{}, time.Hour, func(t *testing.T, src *issuer, c *Cache) {
		first := take(t, c, "value-1")
		swap(t, c, first, "", "value-2")
		time.Sleep(time.Hour)
		swap(t, c, first, "", "value-3")
	})
}

func TestThousandRefusalsOfOneTokenAreOneAcquisition(t *testing.T) {
	inBubble(t, Options{}, time.Hour, func(t *testing.T, src *issuer, c *Cache) {
		first := take(t, c, "value-1")
		src.work = time.Second
		var wg sync.WaitGroup
		for i := range 1000 {
			wg.Go(func() {
				// Some come while the flight is under way, some after it.
				time.Sleep(time.Duration(i) * 2 * time.Millisecond)
				swap(t, c, first, "", "value-2")
			})
		}
		wg.Wait()
		wantAsks(t, src, 2)
		if ask := src.asks()[1]; !ask.Rejected.Equal(first) {
			t.Errorf("the source was not told of the refused token: %+v", ask)
		}
	})
}

// The same without a faked clock, for the race detector and real scheduling.
func TestThousandRefusalsWithoutWaitingAreOneAcquisition(t *testing.T) {
	src := newIssuer(time.Hour)
	c := NewCache(src, Options{})
	defer c.Close()
	first := take(t, c, "value-1")
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			if got, err := c.Replace(t.Context(), first, ""); err != nil || got.Reveal() != "value-2" {
				t.Errorf("Replace = %q, %v", got.Reveal(), err)
			}
		})
	}
	wg.Wait()
	wantAsks(t, src, 2)
}

func TestSameTokenAgainIsErrSameForAllAndNotAskedForAgain(t *testing.T) {
	inBubble(t, Options{}, time.Hour, func(t *testing.T, src *issuer, c *Cache) {
		first := take(t, c, "value-1")
		src.set(nil, true)
		refuse := func() {
			t.Helper()
			if got, err := c.Replace(t.Context(), first, ""); !errors.Is(err, ErrSame) || !got.IsZero() {
				t.Errorf("Replace = %v, %v; want ErrSame", got, err)
			}
		}
		src.work = time.Second
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(refuse)
		}
		wg.Wait()
		wantAsks(t, src, 2)
		time.Sleep(refreshEvery - time.Nanosecond)
		atOnce(t, refuse)
		take(t, c, "value-1") // others, who are served with it, keep it
		wantAsks(t, src, 2)

		time.Sleep(time.Nanosecond)
		src.set(nil, false)
		swap(t, c, first, "", "value-2")
		wantAsks(t, src, 3)
	})
}

func TestErrSameIsRecalledAtOnceWhileTheSourceIsBusy(t *testing.T) {
	inBubble(t, Options{}, time.Hour, func(t *testing.T, src *issuer, c *Cache) {
		first := take(t, c, "value-1")
		src.set(nil, true)
		refuse := func() {
			t.Helper()
			if _, err := c.Replace(t.Context(), first, ""); !errors.Is(err, ErrSame) {
				t.Errorf("Replace: %v, want ErrSame", err)
			}
		}
		refuse()
		src.work = 20 * time.Second
		go c.Replace(t.Context(), first, `{"a":1}`)
		synctest.Wait()
		atOnce(t, refuse)
	})
}

func TestRefusalsOfTwoTokensAreTwoQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := mint(t, "one", time.Time{}), mint(t, "two", time.Time{})
		c := NewCache(sourceFunc(func(_ context.Context, ask Ask) (Token, error) {
			time.Sleep(time.Second)
			if ask.Rejected.Equal(one) {
				return two, nil
			}
			return New("three", "test", time.Time{})
		}), Options{})
		defer c.Close()
		var wg sync.WaitGroup
		wg.Go(func() { swap(t, c, one, "", "two") })
		synctest.Wait()
		wg.Go(func() { swap(t, c, two, "", "three") })
		wg.Wait()
	})
}

func TestSameTokenCountsAsAnAttemptToRefresh(t *testing.T) {
	inBubble(t, Options{Margin: 2 * time.Hour}, time.Hour, func(t *testing.T, src *issuer, c *Cache) {
		first := take(t, c, "value-1")
		src.set(nil, true)
		time.Sleep(29 * time.Second)
		if _, err := c.Replace(t.Context(), first, ""); !errors.Is(err, ErrSame) {
			t.Fatal(err)
		}
		time.Sleep(29 * time.Second)
		take(t, c, "value-1")
		synctest.Wait()
		wantAsks(t, src, 2)
		time.Sleep(time.Second)
		take(t, c, "value-1")
		synctest.Wait()
		wantAsks(t, src, 3)
	})
}

func TestFailedReplacementKeepsTheOldTokenForOthers(t *testing.T) {
	inBubble(t, Options{}, time.Hour, func(t *testing.T, src *issuer, c *Cache) {
		first := take(t, c, "value-1")
		down := &Error{Class: Transient, Message: "down"}
		src.set(down, false)
		for range 10 {
			if _, err := c.Replace(t.Context(), first, ""); !errors.Is(err, down) {
				t.Fatalf("Replace = %v, want the source's error", err)
			}
		}
		wantAsks(t, src, 2)
		take(t, c, "value-1")
		src.set(nil, false)
		time.Sleep(transientPause)
		swap(t, c, first, "", "value-2")
	})
}

func TestTokenIsReturnedAtOnceWhileItIsBeingReplaced(t *testing.T) {
	inBubble(t, Options{}, time.Hour, func(t *testing.T, src *issuer, c *Cache) {
		first := take(t, c, "value-1")
		src.work = 40 * time.Second
		var wg sync.WaitGroup
		wg.Go(func() { swap(t, c, first, "", "value-2") })
		synctest.Wait()
		atOnce(t, func() { take(t, c, "value-1") })
		wg.Wait()
		take(t, c, "value-2")
	})
}

func TestReplacementTakesTheTokenOfARefreshUnderWay(t *testing.T) {
	inBubble(t, Options{Margin: 5 * time.Minute}, time.Hour, func(t *testing.T, src *issuer, c *Cache) {
		first := take(t, c, "value-1")
		src.work = 10 * time.Second
		time.Sleep(56 * time.Minute)
		take(t, c, "value-1")
		synctest.Wait()
		swap(t, c, first, "", "value-2")
		wantAsks(t, src, 2)
	})
}

func TestRefusedTokenThatHasEndedIsReplaced(t *testing.T) {
	inBubble(t, Options{}, time.Hour, func(t *testing.T, src *issuer, c *Cache) {
		first := take(t, c, "value-1")
		time.Sleep(2 * time.Hour)
		src.work = time.Second
		var wg sync.WaitGroup
		wg.Go(func() { swap(t, c, first, "", "value-2") })
		wg.Go(func() { take(t, c, "value-2") })
		wg.Wait()
		wantAsks(t, src, 2)
	})
}

func TestClaimsAreAskedForWhateverElseIsUnderWay(t *testing.T) {
	inBubble(t, Options{}, time.Hour, func(t *testing.T, src *issuer, c *Cache) {
		first := take(t, c, "value-1")
		src.work = time.Second
		const claims = `{"access_token":{"nbf":{"essential":true}}}`
		var wg sync.WaitGroup
		wg.Go(func() { swap(t, c, first, "", "value-2") })
		synctest.Wait()
		var last atomic.Value
		for range 10 {
			wg.Go(func() { last.Store(swap(t, c, first, claims, "value-3")) })
		}
		wg.Wait()
		asks := src.asks()
		if len(asks) != 3 || asks[1].Claims != "" || asks[2].Claims != claims {
			t.Fatalf("asked %+v, want one plain and one with the claims", asks)
		}
		take(t, c, "value-3")
	})
}

func TestClaimsAreAskedForAfterThePlainReplacementWasInVain(t *testing.T) {
	inBubble(t, Options{}, time.Hour, func(t *testing.T, src *issuer, c *Cache) {
		first := take(t, c, "value-1")
		src.set(nil, true)
		if _, err := c.Replace(t.Context(), first, ""); !errors.Is(err, ErrSame) {
			t.Fatal(err)
		}
		src.set(nil, false)
		swap(t, c, first, `{"a":1}`, "value-2")
		wantAsks(t, src, 3)
	})
}

func TestChallengesMadeUpForEachRequestAreBounded(t *testing.T) {
	inBubble(t, Options{}, time.Hour, func(t *testing.T, src *issuer, c *Cache) {
		first := take(t, c, "value-1")
		src.set(nil, true)
		for i := range 100 {
			if _, err := c.Replace(t.Context(), first, fmt.Sprintf(`{"nbf":%d}`, i)); err == nil {
				t.Fatal("a token was replaced by itself")
			}
		}
		wantAsks(t, src, 1+maxFailures)

		// A plain failure on top does not lift the bound.
		c.failures.remember(plain, &Error{Class: SignIn}, c.clock.now(), 0)
		for i := range 100 {
			c.Replace(t.Context(), first, fmt.Sprintf(`{"nbf":%d}`, -i))
		}
		if n := len(src.asks()); n > 2+maxFailures {
			t.Errorf("asked %d times", n)
		}
		time.Sleep(refreshEvery)
		src.set(nil, false)
		swap(t, c, first, `{"nbf":100}`, "value-2")
	})
}

func TestFailedReplacementsDoNotKeepFromAcquiring(t *testing.T) {
	inBubble(t, Options{}, time.Second, func(t *testing.T, src *issuer, c *Cache) {
		first := take(t, c, "value-1")
		src.set(&Error{Class: SignIn, Message: "sign in"}, false)
		for i := range 2 * maxFailures {
			c.Replace(t.Context(), first, fmt.Sprintf(`{"nbf":%d}`, i))
		}
		src.set(nil, false)
		time.Sleep(time.Second) // the token ends
		take(t, c, "value-2")
	})
}
