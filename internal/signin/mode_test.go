package signin

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/injectproxy/injectproxy/internal/token"
)

func TestNothingHappensUntilASignInIsNeeded(t *testing.T) {
	for _, mode := range []Mode{Off, Notify, Auto} {
		inBubble(t, Options{Mode: mode}, func(t *testing.T, s *scene) {
			time.Sleep(24 * time.Hour)
			s.Forget("T1")
			s.wantOpened(t, 0)
			s.wantNotices(t)
			if s.logged() != "" {
				t.Errorf("log: %s", s.logged())
			}
		})
	}
}

func TestNothingIsOpenedUnlessTheModeIsAuto(t *testing.T) {
	const notice = "Sign-in needed: gateway needs a sign-in: az login --tenant T1 --scope S"
	for mode, notices := range map[Mode][]string{"": nil, Off: nil, "always": nil, Notify: {notice}} {
		t.Run(string(mode), func(t *testing.T) {
			inBubble(t, Options{Mode: mode}, func(t *testing.T, s *scene) {
				for range 50 {
					atOnce(t, func() {
						wantError(t, s.SignIn(t.Context(), s.gateway()), token.SignIn, "a sign-in is needed", "az login --tenant T1 --scope S")
					})
				}
				s.wantOpened(t, 0)
				s.wantNotices(t, notices...)
				if n := strings.Count(s.logged(), `command="az login --tenant T1 --scope S"`); n != len(notices) {
					t.Errorf("the log tells it %d times: %s", n, s.logged())
				}
			})
		})
	}
}

func TestNotificationIsRepeatedAfterTenMinutes(t *testing.T) {
	inBubble(t, Options{Mode: Notify}, func(t *testing.T, s *scene) {
		want := func(n int) {
			t.Helper()
			s.SignIn(t.Context(), s.gateway())
			synctest.Wait()
			if len(s.notices) != n {
				t.Errorf("%d notifications, want %d", len(s.notices), n)
			}
		}
		want(1)
		time.Sleep(10*time.Minute - 1)
		want(1)
		time.Sleep(time.Nanosecond)
		want(2)
		s.SignIn(t.Context(), s.need("T1", "models", "az login --tenant T1 --scope M"))
		synctest.Wait()
		want(3) // that of the other command
	})
}

// The claims of a challenge are part of the command, and the upstream's.
func TestChallengesThatDifferDoNotFloodWithNotifications(t *testing.T) {
	inBubble(t, Options{Mode: Notify}, func(t *testing.T, s *scene) {
		for i := range 20 {
			s.SignIn(t.Context(), s.need("T1", "gateway", fmt.Sprint("az login --claims-challenge ", i)))
			synctest.Wait()
		}
		if len(s.notices) != enough {
			t.Errorf("%d notifications, want %d", len(s.notices), enough)
		}
	})
}

func TestOpeningASignInIsTold(t *testing.T) {
	inBubble(t, Options{Mode: Auto}, func(t *testing.T, s *scene) {
		if err := s.SignIn(t.Context(), s.gateway()); err != nil {
			t.Fatal(err)
		}
		s.wantNotices(t, "Sign-in needed: gateway needs a sign-in, which is being opened. From a terminal: az login --tenant T1 --scope S")
		for _, want := range []string{
			`level=WARN msg="a sign-in is needed: opening one" audience=gateway tenant=T1 command="az login --tenant T1 --scope S"`,
			`level=INFO msg="signed in" audience=gateway tenant=T1`,
		} {
			if !strings.Contains(s.logged(), want) {
				t.Errorf("the log lacks %s:\n%s", want, s.logged())
			}
		}
	})
}
