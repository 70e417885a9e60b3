package signin

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/token"
)

// at is where the clock of a bubble stands after d.
func at(d time.Duration) string { return time.Unix(0, 0).UTC().Add(d).Format("15:04") }

// refusedFor fails unless requests are refused for exactly d from now on, each
// at once and with text.
func (s *scene) refusedFor(t *testing.T, a Attempt, d time.Duration, text string) {
	t.Helper()
	s.mu.Lock()
	before := len(s.opened)
	s.mu.Unlock()
	for _, wait := range []time.Duration{0, d / 2, d - d/2 - 1} {
		time.Sleep(wait)
		atOnce(t, func() { wantError(t, s.SignIn(t.Context(), a), token.Declined, text, a.Command) })
	}
	s.wantOpened(t, before)
	time.Sleep(time.Nanosecond)
}

func TestAfterADeclineNoneIsOfferedForTenMinutesThenLonger(t *testing.T) {
	inBubble(t, Options{Mode: Auto}, func(t *testing.T, s *scene) {
		s.fails(declined)
		var now time.Duration
		for i, pause := range []time.Duration{10, 20, 40, 60, 60, 60} {
			pause *= time.Minute
			now += s.work
			text := fmt.Sprintf("az: AADSTS65004: the sign-in was declined at %s; the next one is offered at %s", at(now), at(now+pause))
			wantError(t, s.SignIn(t.Context(), s.gateway()), token.Declined, text, s.gateway().Command)
			s.wantOpened(t, i+1)
			s.refusedFor(t, s.gateway(), pause, text)
			now += pause
		}
		if n := len(s.notices); n != 6 {
			t.Errorf("%d notifications for 6 sign-ins", n)
		}
	})
}

func TestSuccessEndsTheDoubling(t *testing.T) {
	inBubble(t, Options{Mode: Auto}, func(t *testing.T, s *scene) {
		for range 3 {
			s.fails(declined)
			s.SignIn(t.Context(), s.gateway())
			time.Sleep(10 * time.Minute)
			s.fails(nil)
			if err := s.SignIn(t.Context(), s.gateway()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
		}
		s.wantOpened(t, 6)
	})
}

func TestDeclineAtOneTenantDoesNotConcernAnother(t *testing.T) {
	inBubble(t, Options{Mode: Auto}, func(t *testing.T, s *scene) {
		s.fails(declined)
		s.SignIn(t.Context(), s.gateway())
		s.fails(nil)
		if err := s.SignIn(t.Context(), s.need("T2", "other", "az login --tenant T2")); err != nil {
			t.Error(err)
		}
		atOnce(t, func() {
			if err := s.SignIn(t.Context(), s.need("T1", "models", "az login --scope M")); err == nil {
				t.Error("another audience of the tenant was offered a sign-in")
			}
		})
	})
}

func TestSignInIsGivenUpAtTheLimit(t *testing.T) {
	for limit, want := range map[time.Duration]time.Duration{0: 3 * time.Minute, 5 * time.Minute: 5 * time.Minute} {
		inBubble(t, Options{Mode: Auto, Limit: limit}, func(t *testing.T, s *scene) {
			s.work = time.Hour
			start := time.Now()
			text := fmt.Sprintf("the sign-in was given up at %s, after %v; the next one is offered at %s", at(want), want, at(want+10*time.Minute))
			wantError(t, s.SignIn(t.Context(), s.gateway()), token.Declined, text, s.gateway().Command)
			if d := time.Since(start); d != want {
				t.Errorf("after %v, want %v", d, want)
			}
			s.refusedFor(t, s.gateway(), 10*time.Minute, text)
		})
	}
}

func TestFailureIsNotRepeatedForAWhile(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		text string
	}{
		"still needed": {&token.Error{Class: token.SignIn, Source: "az", Code: "AADSTS50076", Message: "another step is due"}, "az: AADSTS50076: the sign-in failed at 00:01 (another step is due)"},
		"of no class":  {errors.New(canary), "the sign-in failed at 00:01"},
		"wrapped":      {fmt.Errorf("%s: %w", canary, declined), "az: AADSTS65004: the sign-in was declined at 00:01"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Options{Mode: Auto}, func(t *testing.T, s *scene) {
				s.fails(tt.err)
				text := tt.text + "; the next one is offered at 00:11"
				wantError(t, s.SignIn(t.Context(), s.gateway()), token.Declined, text, s.gateway().Command)
				s.refusedFor(t, s.gateway(), 10*time.Minute, text)
				if strings.Contains(s.logged(), canary) {
					t.Errorf("log: %s", s.logged())
				}
			})
		})
	}
}

// A laptop that wakes before its network has asked nobody for anything.
func TestOutageIsWaitedOutAndPausesTheTenantForNoLonger(t *testing.T) {
	inBubble(t, Options{Mode: Auto}, func(t *testing.T, s *scene) {
		outage := &token.Error{Class: token.Transient, Source: "az", Message: "could not reach it"}
		for range 3 { // it does not grow
			s.fails(outage)
			err := s.SignIn(t.Context(), s.gateway())
			wantError(t, err, token.Transient, outage.Error(), s.gateway().Command)
			if e, _ := errors.AsType[*token.Error](err); e.RetryAfter != time.Minute {
				t.Errorf("retry after %v", e.RetryAfter)
			}
			s.fails(nil)
			time.Sleep(time.Minute - 1)
			atOnce(t, func() {
				wantError(t, s.SignIn(t.Context(), s.gateway()), token.Transient, outage.Error(), s.gateway().Command)
			})
			time.Sleep(time.Nanosecond)
		}
		if err := s.SignIn(t.Context(), s.gateway()); err != nil {
			t.Error(err)
		}
		s.wantOpened(t, 4)
	})
}

func TestFailureThatConcernsOneAudienceIsReturnedAsItIsAndStopsNoOther(t *testing.T) {
	for _, err := range []*token.Error{
		misconfigured,
		{Class: token.Policy, Source: "az", Code: "AADSTS53003", Message: "a policy forbids it"},
		{Class: token.Consent, Source: "az", Code: "AADSTS65001", Message: "consent is missing"},
	} {
		inBubble(t, Options{Mode: Auto}, func(t *testing.T, s *scene) {
			s.fails(err)
			before, hint := err.Hint, err.Hint
			if hint == "" {
				hint = s.gateway().Command
			}
			refused := func() {
				t.Helper()
				wantError(t, s.SignIn(t.Context(), s.gateway()), err.Class, err.Error(), hint)
			}
			refused()
			time.Sleep(10*time.Minute - 1)
			atOnce(t, refused)
			s.wantOpened(t, 1)
			s.fails(nil)
			if err := s.SignIn(t.Context(), s.need("T1", "models", "az login --scope M")); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Nanosecond)
			s.fails(err)
			refused()
			s.wantOpened(t, 3)
			time.Sleep(20*time.Minute - 1)
			atOnce(t, refused)
			time.Sleep(time.Nanosecond)
			s.fails(nil)
			if err := s.SignIn(t.Context(), s.gateway()); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Hour)
			s.fails(err)
			refused()
			time.Sleep(10 * time.Minute) // not 40: that one had succeeded
			refused()
			s.wantOpened(t, 6)
			if err.Hint != before {
				t.Error("the source's own error was changed")
			}
		})
	}
}

func TestMissingToolIsTriedAgainAtOnce(t *testing.T) {
	inBubble(t, Options{Mode: Auto}, func(t *testing.T, s *scene) {
		s.fails(&token.Error{Class: token.NotInstalled, Source: "az", Message: "is not installed"})
		wantError(t, s.SignIn(t.Context(), s.gateway()), token.NotInstalled, "az: is not installed", s.gateway().Command)
		s.fails(nil)
		if err := s.SignIn(t.Context(), s.gateway()); err != nil {
			t.Error(err)
		}
	})
}

func TestSignInElsewhereEndsThePause(t *testing.T) {
	for name, err := range map[string]error{"of the tenant": declined, "of the audience": misconfigured} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Options{Mode: Auto}, func(t *testing.T, s *scene) {
				s.fails(err)
				s.SignIn(t.Context(), s.gateway())
				s.fails(nil)
				s.Forget("T2")
				if s.SignIn(t.Context(), s.gateway()) == nil {
					t.Error("a sign-in to another tenant ended it")
				}
				asked := s.gateway()
				asked.Asked = time.Now()
				time.Sleep(time.Nanosecond)
				s.Forget("T1")
				atOnce(t, func() {
					if err := s.SignIn(t.Context(), asked); err != nil {
						t.Error(err)
					}
				})
				time.Sleep(time.Nanosecond)
				s.wantOpened(t, 1)
				if err := s.SignIn(t.Context(), s.gateway()); err != nil {
					t.Error(err)
				}
				s.wantOpened(t, 2)
			})
		})
	}
}

// A pause is told in the wall clock's time, and holds by it: a machine that
// sleeps lets it pass, and one whose clock was wrong does not wait for years.
func TestPauseEndsByTheWallClock(t *testing.T) {
	for name, step := range map[string]time.Duration{"slept": 10 * time.Minute, "set back": -time.Second, "set back far": -365 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			var off time.Duration
			now := func() time.Time { return time.Now().Round(0).Add(off) }
			inBubble(t, Options{Mode: Auto, Now: now}, func(t *testing.T, s *scene) {
				s.fails(declined)
				s.SignIn(t.Context(), s.gateway())
				off = step
				s.SignIn(t.Context(), s.gateway())
				s.wantOpened(t, 2)
			})
		})
	}
}
