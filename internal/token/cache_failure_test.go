package token

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestFailureIsMetAgainWithoutAskingForAWhile(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		want time.Duration
	}{
		"transient":             {&Error{Class: Transient}, 2 * time.Second},
		"transient, with time":  {&Error{Class: Transient, RetryAfter: 20 * time.Second}, 20 * time.Second},
		"throttled for an hour": {&Error{Class: Transient, RetryAfter: time.Hour}, time.Minute},
		"throttled":             {&Error{Class: Unknown, RetryAfter: 20 * time.Second}, 20 * time.Second},
		"sign-in":               {&Error{Class: SignIn}, time.Minute},
		"consent":               {&Error{Class: Consent}, time.Minute},
		"policy":                {&Error{Class: Policy}, time.Minute},
		"misconfigured":         {&Error{Class: Misconfigured}, time.Minute},
		"not installed":         {&Error{Class: NotInstalled}, time.Minute},
		"declined":              {&Error{Class: Declined}, time.Minute},
		"of no class":           {errors.New("odd"), time.Minute},
		"cause still there":     {&Error{Class: SignIn, Stale: func() bool { return false }}, time.Minute},
		"cause always gone":     {&Error{Class: Misconfigured, Stale: func() bool { return true }}, 5 * time.Second},
		"transient, cause gone": {&Error{Class: Transient, Stale: func() bool { return true }}, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Options{}, time.Hour, func(t *testing.T, src *issuer, c *Cache) {
				src.set(tt.err, false)
				fail := func() {
					t.Helper()
					_, err := c.Token(t.Context())
					if !errors.Is(err, tt.err) || !errors.As(err, new(*Error)) {
						t.Errorf("Token: %v, want an *Error that is %v", err, tt.err)
					}
				}
				fail()
				time.Sleep(tt.want - time.Nanosecond)
				src.work = time.Second
				atOnce(t, fail)
				wantAsks(t, src, 1)
				src.set(nil, false)
				time.Sleep(time.Nanosecond)
				take(t, c, "value-1")
			})
		})
	}
}

func TestRefreshWaitsAsLongAsTheIdentityServiceAsks(t *testing.T) {
	inBubble(t, Options{Margin: 5 * time.Minute}, time.Hour, func(t *testing.T, src *issuer, c *Cache) {
		take(t, c, "value-1")
		src.set(&Error{Class: Transient, RetryAfter: 50 * time.Second}, false)
		for _, wait := range []time.Duration{55 * time.Minute, 49 * time.Second} {
			time.Sleep(wait)
			take(t, c, "value-1")
			synctest.Wait()
			wantAsks(t, src, 2)
		}
	})
}

// stuck is a source that ignores its context until it is released.
type stuck struct {
	release chan struct{}
	calls   atomic.Int32
	now     atomic.Int32 // calls under way
	expiry  time.Time
}

func (s *stuck) Token(context.Context, Ask) (Token, error) {
	s.calls.Add(1)
	s.now.Add(1)
	defer s.now.Add(-1)
	<-s.release
	return New("late", "stuck", s.expiry)
}

func wantTimeout(t *testing.T, err error) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Class != Transient || !strings.Contains(e.Error(), "did not answer within 45s") {
		t.Errorf("got %v, want a transient error that names the time-out", err)
	}
}

func TestSourceThatIgnoresItsContextHoldsOneGoroutineAndNoCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &stuck{release: make(chan struct{}), expiry: time.Now().Add(time.Hour)}
		c := NewCache(src, Options{Name: "gateway"})
		defer c.Close()
		for i := range 5 {
			var wg sync.WaitGroup
			start := time.Now()
			for range 20 {
				wg.Go(func() { _, err := c.Token(t.Context()); wantTimeout(t, err) })
			}
			wg.Go(func() {
				_, err := c.Replace(t.Context(), mint(t, strings.Repeat("x", i+1), time.Time{}), "")
				wantTimeout(t, err)
			})
			wg.Wait()
			synctest.Wait()
			if d := time.Since(start); d != defaultTimeout {
				t.Errorf("callers waited %v, want %v", d, defaultTimeout)
			}
		}
		if n := src.now.Load(); n != 1 {
			t.Errorf("%d calls of the stuck source under way, want 1", n)
		}
		close(src.release)
		synctest.Wait()
		take(t, c, "late") // what it gave in the end is not thrown away
		if n := src.calls.Load(); n != 1 {
			t.Errorf("%d calls, want 1", n)
		}
	})
}

func TestSlowSourceFailsByTheTimeout(t *testing.T) {
	for name, says := range map[string]func(error) error{
		"context's error":        func(err error) error { return err },
		"an error of no class":   func(err error) error { return &Error{Source: "az", Message: "killed", Err: err} },
		"a text without a cause": func(error) error { return errors.New("signal: killed") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := NewCache(sourceFunc(func(ctx context.Context, _ Ask) (Token, error) {
					<-ctx.Done()
					return Token{}, says(ctx.Err())
				}), Options{})
				defer c.Close()
				start := time.Now()
				_, err := c.Token(t.Context())
				wantTimeout(t, err)
				if d := time.Since(start); d != defaultTimeout {
					t.Errorf("the caller waited %v, want %v", d, defaultTimeout)
				}
				synctest.Wait()
				atOnce(t, func() {
					_, err := c.Token(t.Context())
					wantTimeout(t, err)
				})
			})
		})
	}
}

func TestSourceThatBreaksIsAnErrorOfItsOwn(t *testing.T) {
	const secret = "canary-8f2b"
	for name, tt := range map[string]struct {
		src  sourceFunc
		want string
	}{
		"panics":          {func(context.Context, Ask) (Token, error) { panic(secret) }, "panicked: string"},
		"panics (error)":  {func(context.Context, Ask) (Token, error) { panic(errors.New(secret)) }, "panicked: *errors.errorString"},
		"nil map":         {func(_ context.Context, ask Ask) (Token, error) { return Token{}, map[any]error{}[[]string{secret}] }, "unhashable"},
		"ends goroutine":  {func(context.Context, Ask) (Token, error) { runtime.Goexit(); return Token{}, nil }, "ended without an answer"},
		"gives nothing":   {func(context.Context, Ask) (Token, error) { return Token{}, nil }, "neither a token nor an error"},
		"gives ended one": {func(context.Context, Ask) (Token, error) { return New(secret, "env", time.Now()) }, "has ended"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log strings.Builder
				broken := true
				c := NewCache(sourceFunc(func(ctx context.Context, ask Ask) (Token, error) {
					if broken {
						return tt.src(ctx, ask)
					}
					return New("good", "test", time.Time{})
				}), Options{Name: "gateway", Log: slog.New(slog.NewTextHandler(&log, nil))})
				defer c.Close()
				_, err := c.Token(t.Context())
				if !errors.As(err, new(*Error)) || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("Token: %v, want an *Error with %q", err, tt.want)
				}
				if strings.Contains(err.Error()+log.String(), secret) {
					t.Errorf("%v\n%s: the secret is in it", err, log.String())
				}
				broken = false
				time.Sleep(longestPause)
				take(t, c, "good")
			})
		})
	}
}

func TestTokenThatDiffersButHasEndedIsNotUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewCache(sourceFunc(func(_ context.Context, ask Ask) (Token, error) {
			if ask.Rejected.IsZero() {
				return New("first", "test", time.Now().Add(time.Hour))
			}
			return New("second", "test", time.Now().Add(-time.Minute))
		}), Options{})
		defer c.Close()
		if got, err := c.Replace(t.Context(), take(t, c, "first"), ""); err == nil {
			t.Errorf("Replace = %q", got.Reveal())
		}
		take(t, c, "first")
	})
}

func TestCloseEndsFlightsAndWaitsForThem(t *testing.T) {
	inBubble(t, Options{}, time.Hour, func(t *testing.T, src *issuer, c *Cache) {
		src.work = 40 * time.Second
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := c.Token(t.Context()); err == nil || !strings.Contains(err.Error(), "stopping") {
				t.Errorf("waiting while the cache closed: %v", err)
			}
		})
		synctest.Wait()
		atOnce(t, func() {
			wg.Go(c.Close)
			c.Close()
			wg.Wait()
			if _, err := c.Token(t.Context()); err == nil || !strings.Contains(err.Error(), "stopping") {
				t.Errorf("after Close: %v", err)
			}
		})
		wantAsks(t, src, 0)
	})
}

func TestCloseLeavesASourceBehindThatDoesNotStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		src := &stuck{release: make(chan struct{})}
		c := NewCache(src, Options{Name: "gateway", Log: slog.New(slog.NewTextHandler(&log, nil))})
		go c.Token(t.Context())
		synctest.Wait()
		start := time.Now()
		c.Close()
		if d := time.Since(start); d != closeGrace {
			t.Errorf("Close took %v, want %v", d, closeGrace)
		}
		if !strings.Contains(log.String(), `msg="the token source did not stop" audience=gateway`) {
			t.Errorf("the log does not tell: %s", log.String())
		}
		close(src.release)
	})
}

// For the race detector: everything at once, and Close in the middle of it.
func TestConcurrentUseWhileClosing(t *testing.T) {
	for range 5 {
		c := NewCache(sourceFunc(func(context.Context, Ask) (Token, error) {
			return New("a", "test", time.Now().Add(time.Nanosecond+time.Hour))
		}), Options{Margin: 2 * time.Hour})
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				for range 20 {
					t, _ := c.Token(context.Background())
					c.Replace(context.Background(), t, "")
				}
			})
		}
		wg.Go(c.Close)
		wg.Wait()
	}
}
