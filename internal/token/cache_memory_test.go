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

// wantFailure fails the test unless c has no token because of err.
func wantFailure(t *testing.T, c *Cache, err error) {
	t.Helper()
	if got, met := c.Token(t.Context()); !errors.Is(met, err) {
		t.Errorf("Token = %v, %v; want %v", got, met, err)
	}
}

func TestFailureIsDroppedWhenItsCauseIsGoneButNotBeforeFiveSeconds(t *testing.T) {
	inBubble(t, Options{}, time.Hour, func(t *testing.T, src *issuer, c *Cache) {
		var gone atomic.Bool
		var looks atomic.Int32
		needed := &Error{Class: SignIn, Stale: func() bool {
			looks.Add(1)
			if !c.failures.mu.TryLock() {
				t.Error("files are looked at while others wait for the lock")
			} else {
				c.failures.mu.Unlock()
			}
			return gone.Load()
		}}
		src.set(needed, false)
		wantFailure(t, c, needed)
		src.set(nil, false)
		gone.Store(true)
		time.Sleep(leastPause - time.Nanosecond)
		wantFailure(t, c, needed)
		if looks.Load() != 0 {
			t.Error("it was looked for the cause before 5 s")
		}
		gone.Store(false)
		time.Sleep(time.Second)
		wantFailure(t, c, needed)
		gone.Store(true)
		take(t, c, "value-1")
		wantAsks(t, src, 2)
	})
}

func TestFailingAudiencesThatTouchEachOthersFilesDoNotChaseEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var touched, asked atomic.Int32 // a file that each run of the tool writes
		src := sourceFunc(func(context.Context, Ask) (Token, error) {
			asked.Add(1)
			seen := touched.Add(1)
			return Token{}, &Error{Class: SignIn, Stale: func() bool { return touched.Load() != seen }}
		})
		one, two := NewCache(src, Options{}), NewCache(src, Options{})
		defer one.Close()
		defer two.Close()
		for range 600 {
			one.Token(t.Context())
			two.Token(t.Context())
			time.Sleep(100 * time.Millisecond)
		}
		if n := asked.Load(); n > 2*12 {
			t.Errorf("asked %d times in a minute", n)
		}
	})
}

func TestForgetDropsEveryFailure(t *testing.T) {
	inBubble(t, Options{}, time.Minute, func(t *testing.T, src *issuer, c *Cache) {
		first := take(t, c, "value-1")
		needed := &Error{Class: SignIn}
		src.set(needed, false)
		c.Replace(t.Context(), first, `{"a":1}`)
		c.Replace(t.Context(), first, "")
		src.set(nil, true)
		time.Sleep(30 * time.Second)
		c.Replace(t.Context(), first, `{"b":1}`)
		time.Sleep(30 * time.Second)
		src.set(needed, false)
		wantFailure(t, c, needed)
		wantAsks(t, src, 5)

		c.Forget()
		for _, claims := range []string{`{"a":1}`, "", `{"b":1}`} {
			if _, err := c.Replace(t.Context(), first, claims); !errors.Is(err, needed) {
				t.Errorf("with claims %q: %v", claims, err)
			}
		}
		src.set(nil, false)
		take(t, c, "value-2")
		wantAsks(t, src, 9)
	})
}

func TestFailureOfWhatBeganBeforeASignInIsMetForFiveSeconds(t *testing.T) {
	inBubble(t, Options{}, time.Hour, func(t *testing.T, src *issuer, c *Cache) {
		needed := &Error{Class: SignIn}
		src.set(needed, false)
		src.work = 10 * time.Second
		var wg sync.WaitGroup
		wg.Go(func() { wantFailure(t, c, needed) })
		time.Sleep(5 * time.Second)
		c.Forget()
		wg.Wait()
		src.set(nil, false)
		time.Sleep(leastPause - time.Nanosecond)
		atOnce(t, func() { wantFailure(t, c, needed) })
		time.Sleep(time.Nanosecond)
		take(t, c, "value-1")
	})
}

func TestFailureAfterASignInIsMetForAMinute(t *testing.T) {
	inBubble(t, Options{}, time.Hour, func(t *testing.T, src *issuer, c *Cache) {
		needed := &Error{Class: SignIn}
		src.set(needed, false)
		wantFailure(t, c, needed)
		c.Forget()
		wantFailure(t, c, needed)
		src.set(nil, false)
		time.Sleep(time.Minute - time.Nanosecond)
		wantFailure(t, c, needed)
		time.Sleep(time.Nanosecond)
		take(t, c, "value-1")
		wantAsks(t, src, 3)
	})
}

func TestChallengeThatIsOneTooManyMeetsWhatTheLastOneMet(t *testing.T) {
	inBubble(t, Options{}, time.Hour, func(t *testing.T, src *issuer, c *Cache) {
		first := take(t, c, "value-1")
		var signedIn atomic.Bool
		needed := &Error{Class: SignIn, Hint: "az login", Stale: signedIn.Load}
		src.set(needed, false)
		for i := range 2 * maxFailures {
			if _, err := c.Replace(t.Context(), first, fmt.Sprintf(`{"nbf":%d}`, i)); !errors.Is(err, needed) {
				t.Errorf("challenge %d: %v, want what says how to sign in", i, err)
			}
		}
		wantAsks(t, src, 1+maxFailures)
		time.Sleep(leastPause)
		signedIn.Store(true)
		src.set(nil, false)
		swap(t, c, first, `{"nbf":100}`, "value-2")
	})
}

func TestEndedTokenIsAskedForAgainOnceTheClockIsRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wall := wallClock{set: 2 * time.Hour}
		c := NewCache(endsAt(), Options{Now: wall.now})
		defer c.Close()
		fail := func() {
			t.Helper()
			if got, err := c.Token(t.Context()); err == nil {
				t.Errorf("a token that has ended: %v", got)
			}
		}
		fail()
		time.Sleep(leastPause)
		fail()
		wall.set = 0
		take(t, c, "value-2")
	})
}

// For the race detector: failures are met, dropped and forgotten at once.
func TestConcurrentFailuresAndForget(t *testing.T) {
	var calls atomic.Int64
	c := NewCache(sourceFunc(func(context.Context, Ask) (Token, error) {
		n := calls.Add(1)
		return Token{}, &Error{Class: SignIn, RetryAfter: time.Duration(n%3) * time.Nanosecond, Stale: func() bool { return n%2 == 0 }}
	}), Options{})
	defer c.Close()
	rejected := mint(t, "rejected", time.Time{})
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for j := range 50 {
				c.Token(t.Context())
				c.Replace(t.Context(), rejected, fmt.Sprintf(`{"a":%d}`, (i+j)%12))
				c.Forget()
			}
		})
	}
	wg.Wait()
	if n := len(c.failures.failures); n > maxFailures+1 {
		t.Errorf("%d failures are remembered", n)
	}
}
