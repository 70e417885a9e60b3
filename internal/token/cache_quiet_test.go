package token

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestOnlyWhatNobodyWaitsForIsQuiet(t *testing.T) {
	inBubble(t, Options{Margin: 5 * time.Minute}, time.Hour, func(t *testing.T, src *issuer, c *Cache) {
		first := take(t, c, "value-1")
		time.Sleep(55 * time.Minute)
		take(t, c, "value-1")
		synctest.Wait()
		second := swap(t, c, first, "", "value-2")
		swap(t, c, second, "", "value-3")
		time.Sleep(time.Hour)
		take(t, c, "value-4")
		var quiet []bool
		for _, ask := range src.asks() {
			quiet = append(quiet, ask.Quiet)
		}
		if got, want := fmt.Sprint(quiet), "[false true false false]"; got != want {
			t.Errorf("quiet: %v, want %v", got, want)
		}
	})
}

// A source that would have a person sign in fails when it must be quiet.
func TestWhoWaitsDoesNotMeetTheFailureOfARefresh(t *testing.T) {
	for name, tt := range map[string]struct {
		wait  time.Duration // from the start of the refresh, which takes 10 s
		quiet error
		want  string
	}{
		"while it fails":       {5 * time.Second, &Error{Class: SignIn}, "value-2"},
		"after it has failed":  {20 * time.Second, &Error{Class: SignIn}, "value-2"},
		"after it was put off": {20 * time.Second, &Error{Class: Transient, RetryAfter: time.Minute}, "value-2"},
		"while it succeeds":    {5 * time.Second, nil, "quiet"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 0
				c := NewCache(sourceFunc(func(_ context.Context, ask Ask) (Token, error) {
					if ask.Quiet {
						time.Sleep(10 * time.Second)
						if tt.quiet != nil {
							return Token{}, tt.quiet
						}
						return New("quiet", "test", time.Now().Add(time.Hour))
					}
					n++
					return New(fmt.Sprintf("value-%d", n), "test", time.Now().Add(time.Hour))
				}), Options{Margin: 5 * time.Minute})
				defer c.Close()
				take(t, c, "value-1")
				time.Sleep(time.Hour - 2*time.Second)
				take(t, c, "value-1") // starts the refresh, which outlasts the token
				time.Sleep(tt.wait)
				take(t, c, tt.want)
			})
		})
	}
}

// outage takes the 11 s that MSAL takes to give up on an authority.
type outage struct {
	down  atomic.Bool
	asked atomic.Int32
}

func (o *outage) Token(ctx context.Context, _ Ask) (Token, error) {
	n := o.asked.Add(1)
	if o.down.Load() {
		time.Sleep(11 * time.Second)
		return Token{}, &Error{Class: Transient, Source: "az", Message: "down"}
	}
	return New(fmt.Sprintf("value-%d", n), "test", time.Now().Add(time.Hour))
}

func TestAuthorityThatIsDownWithinTheMarginDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := new(outage)
		c := NewCache(src, Options{Margin: 5 * time.Minute})
		defer c.Close()
		take(t, c, "value-1")
		time.Sleep(55 * time.Minute)
		src.down.Store(true)
		for range 3 * 60 {
			atOnce(t, func() { take(t, c, "value-1") })
			time.Sleep(time.Second)
		}
		if n := src.asked.Load(); n < 3 || n > 1+6 {
			t.Errorf("asked %d times in 3 min, want one refresh in 30 s", n)
		}
		src.down.Store(false)
		end := time.Now().Add(refreshEvery + 11*time.Second)
		var last Token
		for time.Now().Before(end) {
			atOnce(t, func() {
				var err error
				if last, err = c.Token(t.Context()); err != nil {
					t.Error(err)
				}
			})
			time.Sleep(time.Second)
		}
		if last.Reveal() == "value-1" {
			t.Error("the token was not refreshed although the authority is back")
		}
	})
}

func TestRefreshThatNeedsAPersonIsTriedOnceAMinute(t *testing.T) {
	inBubble(t, Options{Margin: 10 * time.Minute}, time.Hour, func(t *testing.T, src *issuer, c *Cache) {
		take(t, c, "value-1")
		var signedIn atomic.Bool
		src.set(&Error{Class: SignIn, Stale: signedIn.Load}, false)
		time.Sleep(50 * time.Minute)
		for range 5 * 60 {
			take(t, c, "value-1")
			time.Sleep(time.Second)
		}
		wantAsks(t, src, 1+5)
		take(t, c, "value-1")
		synctest.Wait()
		signedIn.Store(true)
		src.set(nil, false)
		time.Sleep(refreshEvery)
		take(t, c, "value-1")
		synctest.Wait()
		take(t, c, "value-2")
	})
}

func TestRefreshAndAcquisitionAreOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var busy atomic.Int32
		c := NewCache(sourceFunc(func(_ context.Context, ask Ask) (Token, error) {
			if busy.Add(1) > 1 {
				t.Error("the source is asked twice at a time")
			}
			defer busy.Add(-1)
			time.Sleep(10 * time.Second)
			if ask.Quiet {
				return Token{}, &Error{Class: SignIn}
			}
			return New("value", "test", time.Now().Add(time.Minute))
		}), Options{Margin: 5 * time.Minute})
		defer c.Close()
		take(t, c, "value")
		time.Sleep(55 * time.Second)
		take(t, c, "value")
		time.Sleep(6 * time.Second)
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { take(t, c, "value") })
		}
		wg.Wait()
	})
}
