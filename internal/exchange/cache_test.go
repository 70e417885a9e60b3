package exchange

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// counting answers with a token of its own each time, good for an hour.
func counting(t *testing.T) *stub {
	n := 0
	var mu sync.Mutex
	return &stub{t: t, answer: func(*http.Request, url.Values) (int, string) {
		mu.Lock()
		defer mu.Unlock()
		n++
		return gives(fmt.Sprintf("token-%d", n), 3600)
	}}
}

func TestTokenIsReplacedInTheBackgroundBeforeItEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := counting(t)
		e := s.exchanger()
		defer e.Close()
		want := func(token string, asked int) {
			t.Helper()
			got, err := e.Exchange(t.Context(), tenant, of("ada"))
			wantToken(t, token, got, err)
			synctest.Wait()
			if n := len(s.asked()); n != asked {
				t.Fatalf("Entra was asked %d times, want %d", n, asked)
			}
		}
		want("token-1", 1)
		time.Sleep(time.Hour - renewBefore)
		want("token-1", 1)
		time.Sleep(time.Second)
		want("token-1", 2)
		want("token-2", 2)
		time.Sleep(time.Hour - useUntil)
		want("token-2", 3) // nobody called meanwhile
		time.Sleep(time.Hour)
		want("token-4", 4)
	})
}

func TestTokenServesWhileEntraIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		away := false
		s := &stub{t: t}
		s.answer = func(*http.Request, url.Values) (int, string) {
			if away {
				return http.StatusServiceUnavailable, "<html>" + canary
			}
			return gives("good", 3600)
		}
		e := s.exchanger()
		defer e.Close()
		exchange := func() error {
			got, err := e.Exchange(t.Context(), tenant, of("ada"))
			if err == nil {
				wantToken(t, "good", got, err)
			}
			synctest.Wait()
			return err
		}
		if err := exchange(); err != nil {
			t.Fatal(err)
		}
		away = true
		time.Sleep(time.Hour - renewBefore)
		for range 4 * 60 { // until a minute before its end
			if err := exchange(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if n := len(s.asked()); n != 1+8 {
			t.Errorf("Entra was asked %d times for another in four minutes, want every 30 s", n-1)
		}
		time.Sleep(time.Second)
		wantRefusal(t, Unavailable, exchange())
		away = false
		time.Sleep(unavailableFor)
		if err := exchange(); err != nil {
			t.Error(err)
		}
	})
}

func TestTokenEndsWithTheSignIn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		over := false
		s := &stub{t: t}
		s.answer = func(*http.Request, url.Values) (int, string) {
			if over {
				return refuses(50173, "")
			}
			return gives("good", 3600)
		}
		e := s.exchanger()
		defer e.Close()
		exchange := func() {
			t.Helper()
			got, err := e.Exchange(t.Context(), tenant, of("ada"))
			wantToken(t, "good", got, err)
		}
		exchange()
		over = true
		time.Sleep(56 * time.Minute)
		exchange()
		synctest.Wait()
		_, err := e.Exchange(t.Context(), tenant, of("ada"))
		wantRefusal(t, SignIn, err)
	})
}

func TestRefusalIsRememberedForAWhile(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		reason Reason
		code   int
		length time.Duration
	}{{SignIn, 50173, 10 * time.Second}, {Consent, 65001, 10 * time.Second}, {Misconfigured, 7000215, 10 * time.Second}, {Unavailable, 90033, time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			s := &stub{t: t, answer: func(_ *http.Request, f url.Values) (int, string) {
				if f.Get("assertion") == of("bob") {
					return gives("good", 3600)
				}
				return refuses(tt.code, "")
			}}
			e := s.exchanger()
			defer e.Close()
			ask := func(asked int) {
				t.Helper()
				_, err := e.Exchange(t.Context(), tenant, of("ada"))
				wantRefusal(t, tt.reason, err)
				if n := len(s.asked()); n != asked {
					t.Errorf("%s: Entra was asked %d times, want %d", tt.reason, n, asked)
				}
			}
			ask(1)
			time.Sleep(tt.length - 1)
			ask(1)
			got, err := e.Exchange(t.Context(), tenant, of("bob"))
			wantToken(t, "good", got, err)
			time.Sleep(time.Nanosecond)
			ask(3)
		})
	}
}

func TestCacheStaysBoundedUnderTenThousandUsers(t *testing.T) {
	t.Parallel()
	s := &stub{t: t, answer: func(_ *http.Request, f url.Values) (int, string) { return gives("for."+f.Get("assertion"), 3600) }}
	e := s.exchanger()
	users := 10_000
	if os.Getenv("INJECTPROXY_REQUIRE_ALL") == "" {
		users = 4_500 // more than are kept, too
	}
	var wg sync.WaitGroup
	exchange := func(from, to int) {
		next := make(chan int)
		for range atOnce {
			wg.Go(func() {
				for i := range next {
					assertion := of(fmt.Sprintf("user-%05d", i))
					if got, err := e.Exchange(t.Context(), tenant, assertion); err != nil || got != "for."+assertion {
						t.Errorf("user %d: got %q, %v", i, got, err)
					}
				}
			})
		}
		for i := from; i < to; i++ {
			next <- i
		}
		close(next)
		wg.Wait()
	}
	exchange(0, users)
	if n, order := len(e.memory.of), e.memory.order.Len(); n != maxEntries || order != maxEntries {
		t.Errorf("%d tokens are kept, %d in order, want %d", n, order, maxEntries)
	}
	if n := len(s.asked()); n != users {
		t.Fatalf("Entra was asked %d times", n)
	}
	exchange(users-maxEntries+atOnce, users) // those that came last
	if n := len(s.asked()); n != users {
		t.Errorf("Entra was asked %d times for those that are kept", n-users)
	}
	exchange(0, 1)
	if n := len(s.asked()); n != users+1 {
		t.Errorf("Entra was asked %d times for one that is not", n-users)
	}
}

func TestUserWhoCallsIsNotForgotten(t *testing.T) {
	t.Parallel()
	m, now := newMemory(), time.Now()
	user := func(i int) query { return plainQuery(tenant, fmt.Sprint("user-", i)) }
	for i := range maxEntries + 1 {
		if i == maxEntries {
			m.look(user(0), now)
		}
		m.keep(user(i), "good", now.Add(time.Hour), now)
	}
	if a, _ := m.look(user(0), now); !a.known() {
		t.Error("who called last is forgotten")
	}
	if a, _ := m.look(user(1), now); a.known() {
		t.Error("who called first is not")
	}
}

func TestHugeTokenIsPassedOnAndNotKept(t *testing.T) {
	t.Parallel()
	huge := strings.Repeat("x", maxKept+1)
	s := &stub{t: t, answer: func(*http.Request, url.Values) (int, string) { return gives(huge, 3600) }}
	e := s.exchanger()
	for n := 1; n <= 2; n++ {
		got, err := e.Exchange(t.Context(), tenant, of("ada"))
		wantToken(t, huge, got, err)
		if len(s.asked()) != n || len(e.memory.of) != 0 {
			t.Errorf("asked %d times, %d kept", len(s.asked()), len(e.memory.of))
		}
	}
}

func TestTokenThatIsNearlyOverIsNotKept(t *testing.T) {
	t.Parallel()
	s := &stub{t: t, answer: func(*http.Request, url.Values) (int, string) { return gives("short", 59) }}
	e := s.exchanger()
	for n := 1; n <= 2; n++ {
		got, err := e.Exchange(t.Context(), tenant, of("ada"))
		wantToken(t, "short", got, err)
		if len(s.asked()) != n {
			t.Errorf("asked %d times, want %d", len(s.asked()), n)
		}
	}
}

func BenchmarkExchangeCached(b *testing.B) {
	s := &stub{answer: func(*http.Request, url.Values) (int, string) { return gives("good", 3600) }}
	e := s.in(b)
	assertion := jwt(strings.Repeat("x", 1500))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Exchange(b.Context(), tenant, assertion); err != nil {
			b.Fatal(err)
		}
	}
}

// What MSAL costs for each request to Entra, without the network.
func BenchmarkExchangeAsked(b *testing.B) {
	s := &stub{answer: func(*http.Request, url.Values) (int, string) { return gives("good", 3600) }}
	e := s.in(b)
	q := plainQuery(tenant, jwt(strings.Repeat("x", 1500)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := e.ask(b.Context(), q); err != nil {
			b.Fatal(err)
		}
	}
}
