package signin

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/injectproxy/injectproxy/internal/token"
)

func TestFiftyRequestsShareOneSignIn(t *testing.T) {
	inBubble(t, Options{Mode: Auto}, func(t *testing.T, s *scene) {
		s.settle = time.Second
		start := time.Now()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if err := s.SignIn(t.Context(), s.gateway()); err != nil {
					t.Error(err)
				}
				s.mu.Lock()
				defer s.mu.Unlock()
				if !slices.Equal(s.done, []string{"T1"}) {
					t.Errorf("a request went on before the caches knew: %q", s.done)
				}
			})
		}
		wg.Wait()
		if d := time.Since(start); d != s.work+s.settle {
			t.Errorf("it took %v, want %v", d, s.work+s.settle)
		}
		s.wantOpened(t, 1)
	})
}

func TestTenantsSignInAtTheSameTime(t *testing.T) {
	inBubble(t, Options{Mode: Auto}, func(t *testing.T, s *scene) {
		start := time.Now()
		var wg sync.WaitGroup
		for _, tenant := range []string{"T1", "T2", ""} {
			wg.Go(func() {
				if err := s.SignIn(t.Context(), s.need(tenant, "of "+tenant, "login "+tenant)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if d := time.Since(start); d != s.work || s.most != 3 {
			t.Errorf("%d at the same time, in %v", s.most, d)
		}
	})
}

// The session that one audience got may do for another: it is asked first.
func TestSignInForAnotherAudienceIsWaitedForAndThenTheSourceAsked(t *testing.T) {
	inBubble(t, Options{Mode: Auto}, func(t *testing.T, s *scene) {
		a, b := s.gateway(), s.need("T1", "models", "az login --scope M")
		var wg sync.WaitGroup
		wg.Go(func() { s.SignIn(t.Context(), a) })
		synctest.Wait()
		if err := s.SignIn(t.Context(), b); err != nil {
			t.Error(err)
		}
		wg.Wait()
		s.wantOpened(t, 1)
		time.Sleep(time.Nanosecond)
		if err := s.SignIn(t.Context(), b); err != nil { // it did not do
			t.Error(err)
		}
		s.wantOpened(t, 2)
		if s.most != 1 {
			t.Errorf("%d sign-ins to one tenant at the same time", s.most)
		}
	})
}

func TestRequestWhoseSourceWasAskedBeforeASignInAsksItAgain(t *testing.T) {
	inBubble(t, Options{Mode: Auto}, func(t *testing.T, s *scene) {
		late := s.gateway()
		late.Asked = time.Now()
		if err := s.SignIn(t.Context(), s.gateway()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		atOnce(t, func() {
			if err := s.SignIn(t.Context(), late); err != nil {
				t.Error(err)
			}
		})
		s.wantOpened(t, 1)
	})
}

func TestAnotherAudiencesFailureLeadsToAnOwnSignIn(t *testing.T) {
	inBubble(t, Options{Mode: Auto}, func(t *testing.T, s *scene) {
		s.result = func(a Attempt) error {
			if a.Audience == "gateway" {
				return misconfigured
			}
			return nil
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			wantError(t, s.SignIn(t.Context(), s.gateway()), token.Misconfigured, misconfigured.Error(), "check the audience")
		})
		synctest.Wait()
		if err := s.SignIn(t.Context(), s.need("T1", "models", "az login --scope M")); err != nil {
			t.Error(err)
		}
		wg.Wait()
		s.wantOpened(t, 2)
	})
}

func TestDeclineIsForAllThatWaitForTheTenant(t *testing.T) {
	inBubble(t, Options{Mode: Auto}, func(t *testing.T, s *scene) {
		s.fails(declined)
		var wg sync.WaitGroup
		for _, command := range []string{"az login --tenant T1 --scope S", "az login --scope M"} {
			wg.Go(func() {
				wantError(t, s.SignIn(t.Context(), s.need("T1", command, command)), token.Declined,
					"az: AADSTS65004: the sign-in was declined at 00:01; the next one is offered at 00:11", command)
			})
		}
		wg.Wait()
		s.wantOpened(t, 1)
	})
}

func TestRequestLeavesAloneAndTheSignInGoesOn(t *testing.T) {
	inBubble(t, Options{Mode: Auto}, func(t *testing.T, s *scene) {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			e := wantError(t, s.SignIn(ctx, s.gateway()), token.SignIn, "a sign-in is under way", s.gateway().Command)
			if e.Unwrap() != context.Canceled {
				t.Errorf("its cause is %v", e.Unwrap())
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if err := s.SignIn(t.Context(), s.gateway()); err != nil {
				t.Error(err)
			}
		})
		atOnce(t, func() { cancel(); synctest.Wait() })
		wg.Wait()
		s.wantOpened(t, 1)
	})
}

func TestNobodyIsAskedForARequestThatHasEnded(t *testing.T) {
	inBubble(t, Options{Mode: Auto}, func(t *testing.T, s *scene) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		e := wantError(t, s.SignIn(ctx, s.gateway()), token.SignIn, "a sign-in is needed", s.gateway().Command)
		if e.Unwrap() != context.Canceled {
			t.Errorf("its cause is %v", e.Unwrap())
		}
		s.wantOpened(t, 0)
	})
}

func TestThereIsTimeToAnswerBeforeTheRequestsDeadline(t *testing.T) {
	for left, want := range map[time.Duration]time.Duration{
		45 * time.Second: 43 * time.Second,
		20 * time.Second: 18 * time.Second,
		10 * time.Second: 9 * time.Second,
		time.Second:      900 * time.Millisecond,
		time.Hour:        time.Minute, // then it is done
	} {
		inBubble(t, Options{Mode: Auto}, func(t *testing.T, s *scene) {
			ctx, cancel := context.WithTimeout(t.Context(), left)
			defer cancel()
			start := time.Now()
			err := s.SignIn(ctx, s.gateway())
			if d := time.Since(start); d != want {
				t.Errorf("with %v left it took %v, want %v", left, d, want)
			}
			if want == s.work {
				if err != nil {
					t.Error(err)
				}
				return
			}
			e := wantError(t, err, token.SignIn, "a sign-in is under way", s.gateway().Command)
			if e.Unwrap() != nil {
				t.Errorf("its cause is %v, though the context has not ended", e.Unwrap())
			}
			if e.Stale() {
				t.Error("out of date already")
			}
			time.Sleep(s.work)
			synctest.Wait()
			if !e.Stale() {
				t.Error("not out of date, though somebody has signed in")
			}
			s.wantOpened(t, 1)
		})
	}
}

func TestWhatThePersonHasToKnowIsToldOnceAndInTheAnswer(t *testing.T) {
	const said = "To sign in, open https://login.example/device and enter the code ABC123"
	inBubble(t, Options{Mode: Auto}, func(t *testing.T, s *scene) {
		a := s.gateway()
		sign := a.Run
		a.Run = func(ctx context.Context, tell func(string)) error {
			tell("starting")
			go tell(said)
			synctest.Wait()
			tell("To sign in,\n open https://login.example/device\x1b[2J and enter the code \u202eABC123")
			tell(said)
			tell(said + "\n")
			return sign(ctx, tell)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		err := s.SignIn(ctx, a)
		if want := "a sign-in is under way: To sign in, open https://login.example/device"; !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q does not begin with %q", err, want)
		}
		if n := strings.Count(s.logged(), "msg=\""+said+"\" audience=gateway"); n != 2 { // before and after the one with more
			t.Errorf("the log has it %d times:\n%s", n, s.logged())
		}
		s.wantNotices(t,
			"Sign-in needed: gateway needs a sign-in, which is being opened. From a terminal: "+a.Command,
			"Sign-in needed: starting", "Sign-in needed: "+said,
			"Sign-in needed: To sign in, open https://login.example/device [2J and enter the code ABC123", "Sign-in needed: "+said)
	})
}
