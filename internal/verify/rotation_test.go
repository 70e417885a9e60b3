package verify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// forged returns a token that names a key which nobody has. Its signature is
// looked at by nobody.
func forged(n int) string {
	header := fields{"alg": "RS256", "kid": fmt.Sprint("forged-", n)}
	return encoded(header.json()) + "." + encoded(usual().json()) + ".AA"
}

func TestForgedKeyIDsCauseFewFetchesAndHoldNoRotationBack(t *testing.T) {
	t.Parallel()
	const crowd = 1000
	tokens := make([]string, crowd)
	for _, when := range []time.Duration{0, time.Millisecond, 40 * time.Millisecond, 60 * time.Millisecond, 400 * time.Millisecond, 740 * time.Millisecond} {
		c := newCloud()
		c.delay = 50 * time.Millisecond
		inBubble(t, c, c.options(), func(t *testing.T, v *Verifier) {
			time.Sleep(time.Minute)
			before := c.fetches(home)
			for i := range tokens {
				tokens[i] = forged(i)
			}
			var all sync.WaitGroup
			var wrong atomic.Int32
			for _, token := range tokens {
				all.Go(func() {
					_, err := v.Verify(t.Context(), token)
					var bad *Invalid
					if !errors.As(err, &bad) || bad.Reason != Key {
						wrong.Add(1)
					}
				})
			}
			time.Sleep(when)
			c.publish(home, first(), second())
			began := time.Now()
			accepted(t, v, "rotated key", second().token(nil))
			if waited := time.Since(began); waited > time.Second {
				t.Errorf("rotated after %v: accepted after %v", when, waited)
			}
			all.Wait()
			if n := c.fetches(home) - before; n > 3 || c.fetches(branch) != 1 {
				t.Errorf("rotated after %v: %d fetches, and %d for another tenant", when, n, c.fetches(branch))
			}
			if n := wrong.Load(); n > 0 {
				t.Errorf("rotated after %v: %d forged tokens were not refused for their key", when, n)
			}
		})
	}
}

func TestFloodOfForgedKeyIDsIsPaced(t *testing.T) {
	t.Parallel()
	c := newCloud()
	inBubble(t, c, c.options(), func(t *testing.T, v *Verifier) {
		before, ctx := c.fetches(home), t.Context()
		const flood = 30 * time.Second
		ctx, stop := context.WithTimeout(ctx, flood)
		defer stop()
		var all sync.WaitGroup
		for n := range 20 {
			all.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					_, _ = v.Verify(ctx, forged(n*1000+i))
				}
			})
		}
		all.Wait()
		if n := c.fetches(home) - before; n > 41 {
			t.Errorf("%d fetches in %v", n, flood)
		}
		for i, at := range c.times[3:] {
			if apart := at.Sub(c.times[2+i]); apart < 750*time.Millisecond {
				t.Errorf("fetches %v apart", apart)
			}
		}
	})
}

// flooded has v verify forged tokens, two a second, until stop is called.
func flooded(t *testing.T, v *Verifier) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			all.Go(func() { _, _ = v.Verify(ctx, forged(n)) })
			time.Sleep(500 * time.Millisecond)
		}
	})
	return func() { cancel(); all.Wait() }
}

// untilAccepted returns how long it takes until token, which is shown time and
// again, is accepted.
func untilAccepted(t *testing.T, v *Verifier, token string) time.Duration {
	t.Helper()
	began := time.Now()
	for time.Since(began) < time.Hour {
		if _, err := v.Verify(t.Context(), token); err == nil {
			return time.Since(began)
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Error("not accepted within an hour")
	return 0
}

func TestLongFloodOfForgedKeyIDsMakesFetchesRare(t *testing.T) {
	t.Parallel()
	c := newCloud()
	inBubble(t, c, c.options(), func(t *testing.T, v *Verifier) {
		time.Sleep(5 * time.Minute)
		before := c.fetches(home)
		stop := flooded(t, v)
		time.Sleep(5 * time.Minute)
		if n := c.fetches(home) - before; n > patience+7+5*60/30 {
			t.Errorf("%d fetches in five minutes", n)
		}
		c.publish(home, first(), second())
		if waited := untilAccepted(t, v, second().token(nil)); waited > 31*time.Second {
			t.Errorf("a key that was rotated meanwhile is accepted after %v", waited)
		}
		third := signer{"third", first().private, first().method}
		c.publish(home, first(), second(), third)
		if waited := untilAccepted(t, v, third.token(nil)); waited > time.Second {
			t.Errorf("the next one, when a fetch has brought a key, is accepted after %v", waited)
		}
		time.Sleep(2 * time.Minute)
		stop()
		time.Sleep(floodMost + quiet)
		before = c.fetches(home)
		began := time.Now()
		for n := range 5 {
			refused(t, v, "after the flood", forged(1e6+n), Key)
		}
		if waited := time.Since(began); waited > 5*gap || c.fetches(home) != before+5 {
			t.Errorf("once it was quiet, five ids are looked up within %v by %d fetches", waited, c.fetches(home)-before)
		}
	})
}

func TestForgedKeyIDsDoNotHaveAServerThatFailsAskedMore(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(*http.Request) (*http.Response, error){
		"down":  down,
		"crowd": func(*http.Request) (*http.Response, error) { return reply(429, ""), nil },
	} {
		c := newCloud()
		inBubble(t, c, c.options(), func(t *testing.T, v *Verifier) {
			time.Sleep(time.Minute)
			c.answers(answer)
			before := c.fetches(home)
			stop := flooded(t, v)
			time.Sleep(5 * time.Minute)
			if n := c.fetches(home) - before; n > 7+5*60/27 {
				t.Errorf("%s: %d fetches in five minutes", name, n)
			}
			c.publish(home, first(), second())
			c.answers(nil)
			if waited := untilAccepted(t, v, second().token(nil)); waited > retryAtMost*11/10+time.Second {
				t.Errorf("%s: a rotated key is accepted %v after the outage", name, waited)
			}
			stop()
		})
	}
}

func TestAnOutageIsNoFlood(t *testing.T) {
	t.Parallel()
	c := newCloud()
	inBubble(t, c, c.options(), func(t *testing.T, v *Verifier) {
		c.answers(down)
		unavailable(t, v, "unknown key", second().token(nil)) // or nobody would ask for an hour
		time.Sleep(20 * time.Minute)
		c.answers(nil)
		time.Sleep(retryAtMost * 11 / 10)
		began := time.Now()
		for n := range 5 {
			refused(t, v, "after the outage", forged(n), Key)
		}
		if waited := time.Since(began); waited > 5*gap {
			t.Errorf("five ids are looked up within %v", waited)
		}
	})
}

func TestFetchesThatAreAskedForGrowRareStepByStep(t *testing.T) {
	t.Parallel()
	for vain, want := range map[int]time.Duration{
		0: gap, patience: gap, patience + 1: time.Second, patience + 2: 2 * time.Second, patience + 5: 16 * time.Second, patience + 6: 30 * time.Second, 1 << 40: 30 * time.Second,
	} {
		if got := spacing(vain); got != want {
			t.Errorf("after %d fetches: %v, want %v", vain, got, want)
		}
	}
}

func TestForgedKeyIDThatIsRepeatedWaitsForNothing(t *testing.T) {
	t.Parallel()
	c := newCloud()
	inBubble(t, c, c.options(), func(t *testing.T, v *Verifier) {
		token := forged(1)
		refused(t, v, "first", token, Key)
		began, before := time.Now(), c.fetches(home)
		for range 100 {
			refused(t, v, "again", token, Key)
		}
		if time.Since(began) != 0 || c.fetches(home) != before {
			t.Errorf("%v and %d fetches", time.Since(began), c.fetches(home)-before)
		}
		// A token may come before its key is published everywhere.
		early := second().token(nil)
		refused(t, v, "key that is not published yet", early, Key)
		c.publish(home, first(), second())
		time.Sleep(missingFor)
		accepted(t, v, "key that is published now", early)
	})
}

func TestForgedKeyIDsTakeBoundedMemory(t *testing.T) {
	t.Parallel()
	c := newCloud()
	inBubble(t, c, c.options(), func(t *testing.T, v *Verifier) {
		r := v.rings[home]
		var all sync.WaitGroup
		var late atomic.Int32
		for i := range maxWaiting + 100 {
			all.Go(func() {
				_, err := v.Verify(t.Context(), forged(i))
				if errors.Is(err, ErrUnavailable) {
					late.Add(1)
				}
			})
		}
		all.Wait()
		if n := late.Load(); n != 100 {
			t.Errorf("%d were told at once to come again, want 100", n)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.missing) > maxMissing || r.waiting != 0 {
			t.Errorf("%d ids are remembered, %d wait", len(r.missing), r.waiting)
		}
	})
}

func TestKnownKeysOutliveAnOutageOfADay(t *testing.T) {
	t.Parallel()
	c := newCloud()
	log, text := recorded()
	o := c.options()
	o.Log = log
	inBubble(t, c, o, func(t *testing.T, v *Verifier) {
		token := func() string {
			return first().token(fields{"exp": time.Now().Add(48 * time.Hour).Unix(), "x": time.Now().Unix()})
		}
		cached := token()
		accepted(t, v, "before", cached)
		c.answers(down)
		for hour := range 24 {
			time.Sleep(time.Hour - time.Second)
			accepted(t, v, fmt.Sprint("cached, hour ", hour), cached)
			accepted(t, v, fmt.Sprint("new, hour ", hour), token())
			if hour == 0 {
				unavailable(t, v, "unknown key", second().token(nil))
			}
		}
		if n := c.fetches(home); n > 2+24*3600/25 {
			t.Errorf("%d fetches in a day of outage", n)
		}
		time.Sleep(time.Minute)
		unavailable(t, v, "cached, after a day", cached)
		unavailable(t, v, "new, after a day", token())
		if k := v.Keys()[0]; k.Held != 0 || k.Tenant != home || k.Problem == "" || time.Since(k.Fetched) < 24*time.Hour || time.Since(k.Tried) > time.Minute {
			t.Errorf("%+v", k)
		}
		c.answers(nil)
		time.Sleep(retryAtMost * 11 / 10) // for the next try no token hastens
		accepted(t, v, "over", cached)
		if k := v.Keys()[0]; k.Held != 1 || k.Problem != "" || k.Fetched != k.Tried.Round(0) {
			t.Errorf("%+v", k)
		}
	})
	for _, said := range []string{"cannot be fetched", "can be fetched again"} {
		if n := strings.Count(text.String(), said); n < 1 || n > 2 {
			t.Errorf("%q was logged %d times for 2 tenants: %s", said, n, text)
		}
	}
}

// The machine sleeps: its own clock stands still, that on the wall goes on.
func TestKeysGrowOldWhileTheMachineSleeps(t *testing.T) {
	t.Parallel()
	c := newCloud()
	o := c.options()
	var slept atomic.Int64
	o.Now = func() time.Time { return time.Now().Add(time.Duration(slept.Load())) }
	inBubble(t, c, o, func(t *testing.T, v *Verifier) {
		token := first().token(fields{"exp": time.Now().Add(48 * time.Hour).Unix()})
		accepted(t, v, "before", token)
		c.answers(down)
		slept.Store(int64(25 * time.Hour))
		unavailable(t, v, "after", token)
		c.answers(nil)
		accepted(t, v, "after, in reach of the keys", token)
	})
}

func TestKeysAreFetchedAtStartUntilItWorks(t *testing.T) {
	t.Parallel()
	c := newCloud()
	c.answers(func(r *http.Request) (*http.Response, error) {
		if strings.Contains(r.URL.Path, branch) {
			return nil, errors.New("no route")
		}
		return reply(200, fields{"keys": []fields{first().jwk()}}.json()), nil
	})
	inBubble(t, c, c.options(), func(t *testing.T, v *Verifier) {
		if v.Ready() {
			t.Error("ready with the keys of one of two tenants")
		}
		time.Sleep(10 * time.Minute)
		if n := c.fetches(branch); c.fetches(home) != 1 || n < 600/33 || n > 5+600/27 {
			t.Errorf("%d fetches for the tenant that answers, %d for the other", c.fetches(home), n)
		}
		c.answers(nil)
		time.Sleep(retryAtMost * 11 / 10)
		if !v.Ready() {
			t.Error("not ready")
		}
	})
}

func TestPausesGrowAndKeysAreRefreshedHourly(t *testing.T) {
	t.Parallel()
	r, bad := &ring{}, errors.New("down")
	var pauses []time.Duration
	for pause := time.Duration(0); len(pauses) < 7; pauses = append(pauses, pause) {
		pause = r.next(bad, pause)
	}
	if got := fmt.Sprint(pauses); got != "[1s 2s 4s 8s 16s 30s 30s]" {
		t.Errorf("pauses %s", got)
	}
	if after := r.next(bad, r.next(nil, retryAtMost)); after != retryAtOnce {
		t.Errorf("after an hour: %v", after)
	}
	least, most := time.Duration(1<<62), time.Duration(0)
	for range 10_000 {
		d := jittered(refresh)
		least, most = min(least, d), max(most, d)
	}
	if least < refresh*9/10 || most > refresh*11/10 || most-least < refresh/10 {
		t.Errorf("an hour is between %v and %v", least, most)
	}
	c := newCloud()
	inBubble(t, c, c.options(), func(t *testing.T, v *Verifier) {
		time.Sleep(24 * time.Hour)
		if n := c.fetches(home); n < 22 || n > 27 {
			t.Errorf("%d fetches in a day", n)
		}
	})
}

func TestKeyThatIsWithdrawnCountsNoMore(t *testing.T) {
	t.Parallel()
	c := newCloud()
	inBubble(t, c, c.options(), func(t *testing.T, v *Verifier) {
		token := first().token(fields{"exp": time.Now().Add(24 * time.Hour).Unix()})
		accepted(t, v, "before", token)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if v.valid.get(sum(token), time.Now()) == nil {
			t.Error("a refresh that changes nothing made a token new")
		}
		c.publish(home, second())
		time.Sleep(2 * time.Hour)
		if v.valid.get(sum(token), time.Now()) != nil {
			t.Error("the token is still remembered as valid")
		}
		refused(t, v, "after", token, Key)
		accepted(t, v, "the new key's", second().token(nil))
		// The id is one thing, the key another.
		c.publish(home, signer{second().kid, first().private, first().method})
		time.Sleep(2 * time.Hour)
		refused(t, v, "key under the id of another", second().token(nil), Signature)
	})
}

func TestSlowKeyServerIsWaitedForFiveSeconds(t *testing.T) {
	t.Parallel()
	c := newCloud()
	inBubble(t, c, c.options(), func(t *testing.T, v *Verifier) {
		time.Sleep(time.Minute)
		c.publish(home, first(), second())
		c.mu.Lock()
		c.delay = 7 * time.Second
		c.mu.Unlock()
		began := time.Now()
		unavailable(t, v, "slow", second().token(nil))
		if waited := time.Since(began); waited != maxWait {
			t.Errorf("waited for %v", waited)
		}
		accepted(t, v, "known key meanwhile", first().token(nil))
		if waited := time.Since(began); waited != maxWait {
			t.Errorf("a known key waited for %v", waited-maxWait)
		}
		accepted(t, v, "again", second().token(nil))
	})
}
