package signin

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/injectproxy/injectproxy/internal/token"
)

func TestCloseEndsSignInsAndWaitsForThem(t *testing.T) {
	inBubble(t, Options{Mode: Auto}, func(t *testing.T, s *scene) {
		ended := false
		a := s.gateway()
		a.Run = func(ctx context.Context, _ func(string)) error {
			<-ctx.Done()
			time.Sleep(time.Second) // it kills what it started
			ended = true
			return ctx.Err()
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			wantError(t, s.SignIn(t.Context(), a), token.Transient, "the proxy is stopping", "")
		})
		synctest.Wait()
		s.Close()
		if !ended {
			t.Error("Close did not wait")
		}
		wg.Wait()
		atOnce(t, func() {
			s.Close()
			wantError(t, s.SignIn(t.Context(), s.gateway()), token.Transient, "the proxy is stopping", "")
		})
		s.wantOpened(t, 0)
		if len(s.done) > 0 {
			t.Errorf("signed in: %q", s.done)
		}
	})
}

func TestCloseLeavesASignInBehindThatDoesNotStop(t *testing.T) {
	inBubble(t, Options{Mode: Auto}, func(t *testing.T, s *scene) {
		release := make(chan struct{})
		a := s.gateway()
		a.Run = func(context.Context, func(string)) error { <-release; return nil }
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		s.SignIn(ctx, a)
		start := time.Now()
		s.Close()
		if d := time.Since(start); d != closeGrace {
			t.Errorf("Close took %v, want %v", d, closeGrace)
		}
		if !strings.Contains(s.logged(), "did not stop") {
			t.Errorf("the log does not tell: %s", s.logged())
		}
		close(release)
	})
}

func TestSignInThatBreaksHasFailed(t *testing.T) {
	for name, tt := range map[string]struct {
		run  func(context.Context, func(string)) error
		want string
	}{
		"panics":         {func(context.Context, func(string)) error { panic(canary) }, "failed at 00:00 (panicked: string)"},
		"panics (error)": {func(context.Context, func(string)) error { panic(errors.New(canary)) }, "failed at 00:00 (panicked: *errors.errorString)"},
		"is none":        {nil, "failed at 00:00 (panicked: runtime error: invalid memory address or nil pointer dereference)"},
		"ends goroutine": {func(context.Context, func(string)) error { runtime.Goexit(); return nil }, "failed at 00:00"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Options{Mode: Auto}, func(t *testing.T, s *scene) {
				a := s.gateway()
				a.Run = tt.run
				wantError(t, s.SignIn(t.Context(), a), token.Declined, "the sign-in "+tt.want+"; the next one is offered at 00:10", a.Command)
				if strings.Contains(s.logged(), canary) {
					t.Errorf("log: %s", s.logged())
				}
				time.Sleep(10 * time.Minute)
				if err := s.SignIn(t.Context(), s.gateway()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestNotificationHoldsUpNoRequest(t *testing.T) {
	for _, mode := range []Mode{Notify, Auto} {
		t.Run(string(mode), func(t *testing.T) {
			var shown []string
			o := Options{Mode: mode, Notify: func(_, message string) {
				time.Sleep(time.Second)
				shown = append(shown, message) // without a lock: one at a time
			}}
			inBubble(t, o, func(t *testing.T, s *scene) {
				s.work = 0
				for i := range 100 {
					atOnce(t, func() {
						s.SignIn(t.Context(), s.need(fmt.Sprint("T", i), fmt.Sprint("audience-", i), fmt.Sprint("az login ", i)))
					})
				}
				time.Sleep(time.Hour)
				synctest.Wait()
				if len(shown) != maxNotices && len(shown) != maxNotices+1 { // the first may have been taken off already
					t.Fatalf("%d shown: %q", len(shown), shown)
				}
				for i, message := range shown[:maxNotices] {
					if !strings.HasPrefix(message, fmt.Sprintf("audience-%d needs", i)) {
						t.Errorf("shown as number %d: %q", i, message)
					}
				}
			})
		})
	}
}

func TestCloseWaitsForTheNotificationThatIsShown(t *testing.T) {
	var began, shown int
	o := Options{Mode: Notify, Notify: func(_, _ string) { began++; time.Sleep(time.Second); shown++ }}
	inBubble(t, o, func(t *testing.T, s *scene) {
		for i := range 5 {
			s.SignIn(t.Context(), s.need("T1", fmt.Sprint(i), fmt.Sprint(i)))
		}
		synctest.Wait()
		s.Close()
		if began != 1 || shown != 1 {
			t.Errorf("%d of %d notifications were shown to the end, want 1 of 1", shown, began)
		}
		s.SignIn(t.Context(), s.need("T1", "another", "another"))
		synctest.Wait()
		if began != 1 {
			t.Error("one was begun after Close")
		}
	})
}

func TestNotificationThatPanicsEndsNothing(t *testing.T) {
	n := 0
	o := Options{Mode: Notify, Notify: func(_, _ string) { n++; panic(canary) }}
	inBubble(t, o, func(t *testing.T, s *scene) {
		for i := range 3 {
			s.SignIn(t.Context(), s.need("T1", fmt.Sprint(i), fmt.Sprint(i)))
			synctest.Wait()
		}
		if n != 3 || strings.Contains(s.logged(), canary) || !strings.Contains(s.logged(), "panicked") {
			t.Errorf("%d were tried; log: %s", n, s.logged())
		}
	})
}

// For the race detector: everything at once, and Close in the middle of it.
func TestConcurrentUseWhileClosing(t *testing.T) {
	for range 20 {
		var done atomic.Int32
		c := New(Options{Mode: Auto, Notify: func(_, _ string) {}, Done: func(string) { done.Add(1) }})
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				for j := range 20 {
					a := Attempt{Tenant: fmt.Sprint(i % 3), Audience: fmt.Sprint(i), Command: fmt.Sprint(i, j), Once: i%2 == 0}
					a.Run = func(ctx context.Context, tell func(string)) error {
						tell(a.Command)
						if j%3 == 0 {
							return declined
						}
						return nil
					}
					c.SignIn(context.Background(), a)
					c.Forget(a.Tenant)
				}
			})
		}
		wg.Go(func() {
			for done.Load() < 10 {
				runtime.Gosched()
			}
			c.Close()
		})
		wg.Wait()
	}
}
