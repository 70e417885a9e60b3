package signin

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/token"
)

func TestSignInThatDoesNotHelpIsNotRepeatedForAWhile(t *testing.T) {
	inBubble(t, Options{Mode: Auto}, func(t *testing.T, s *scene) {
		var now time.Duration
		for i, pause := range []time.Duration{10, 20, 40, 60, 60} {
			pause *= time.Minute
			if err := s.SignIn(t.Context(), s.gateway()); err != nil {
				t.Fatal(err)
			}
			now += s.work
			time.Sleep(time.Minute)
			s.wantOpened(t, i+1)
			s.refusedFor(t, s.gateway(), pause, fmt.Sprintf("the sign-in at %s did not help; the next one is offered at %s", at(now), at(now+time.Minute+pause)))
			now += time.Minute + pause
		}
		if err := s.SignIn(t.Context(), s.gateway()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(8 * time.Hour) // it helped that time
		if err := s.SignIn(t.Context(), s.gateway()); err != nil {
			t.Fatal(err)
		}
		now += 2*s.work + 8*time.Hour
		time.Sleep(time.Nanosecond)
		s.refusedFor(t, s.gateway(), 10*time.Minute, fmt.Sprintf("the sign-in at %s did not help; the next one is offered at %s", at(now), at(now+10*time.Minute)))
	})
}

func TestChallengesThatDifferDoNotOpenASignInEach(t *testing.T) {
	inBubble(t, Options{Mode: Auto}, func(t *testing.T, s *scene) {
		s.work = time.Second
		for i := range 20 {
			s.SignIn(t.Context(), s.need("T1", "gateway", fmt.Sprint("az login --claims-challenge ", i)))
			time.Sleep(time.Second)
		}
		s.wantOpened(t, enough)
		if err := s.SignIn(t.Context(), s.need("T1", "models", "az login --scope M")); err != nil {
			t.Errorf("another audience: %v", err)
		}
	})
}

func TestConsentIsAskedForOnceADay(t *testing.T) {
	for name, tt := range map[string]struct {
		err   error
		wait  time.Duration
		after token.Class
		text  string
	}{
		"it did not help":      {nil, time.Second, token.Consent, "the sign-in at 00:01 did not bring the consent"},
		"nor was it given":     {&token.Error{Class: token.Consent, Message: "consent is missing"}, time.Hour, token.Consent, "the sign-in at 00:01 did not bring the consent"},
		"it was declined":      {declined, time.Hour, token.Consent, "the sign-in at 00:01 did not bring the consent"},
		"nobody was there":     {errors.New("no browser"), time.Hour, 0, ""},
		"a day has passed":     {nil, 24 * time.Hour, 0, ""},
		"almost a day has":     {nil, 24*time.Hour - 1, token.Consent, "the sign-in at 00:01 did not bring the consent"},
		"somebody has consent": {nil, -1, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Options{Mode: Auto}, func(t *testing.T, s *scene) {
				once := s.gateway()
				once.Once = true
				s.fails(tt.err)
				if err := s.SignIn(t.Context(), once); (err == nil) != (tt.err == nil) {
					t.Fatal(err)
				}
				if tt.wait < 0 {
					s.Forget("T1")
					tt.wait = 1
				}
				time.Sleep(tt.wait)
				s.fails(nil)
				err := s.SignIn(t.Context(), once)
				if tt.text == "" {
					if err != nil {
						t.Error(err)
					}
					s.wantOpened(t, 2)
					return
				}
				wantError(t, err, tt.after, tt.text, once.Command)
				s.wantOpened(t, 1)
				if err := s.SignIn(t.Context(), s.need("T1", "models", "az login --scope M")); err != nil {
					t.Errorf("another audience: %v", err)
				}
			})
		})
	}
}

func TestOnceConcernsThoseThatSaySoAlone(t *testing.T) {
	for _, firstOnce := range []bool{false, true} {
		inBubble(t, Options{Mode: Auto}, func(t *testing.T, s *scene) {
			first, second := s.gateway(), s.gateway()
			first.Once, second.Once = firstOnce, !firstOnce
			for _, a := range []Attempt{first, second} {
				if err := s.SignIn(t.Context(), a); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Hour)
			}
			s.wantOpened(t, 2)
		})
	}
}
