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

// Tokens as large as are kept hold the bound of bytes; the one of users is next.
func TestCacheStaysBoundedUnderTenThousandUsers(t *testing.T) {
	t.Parallel()
	value := func(assertion string) string {
		return strings.Repeat("x", maxKept-len(assertion)) + assertion
	}
	s := &stub{t: t, answer: func(_ *http.Request, f url.Values) (int, string) { return gives(value(f.Get("assertion")), 3600) }}
	e := s.exchanger()
	const kept = maxBytes / maxKept
	users := 10_000
	if os.Getenv("INJECTPROXY_REQUIRE_ALL") == "" {
		users = kept + 100 // more than are kept, too
	}
	var wg sync.WaitGroup
	exchange := func(from, to int) {
		next := make(chan int)
		for range atOnce {
			wg.Go(func() {
				for i := range next {
					assertion := of(fmt.Sprintf("user-%05d", i))
					if got, err := e.Exchange(t.Context(), tenant, assertion); err != nil || got != value(assertion) {
						t.Errorf("user %d: got %.40q, %v", i, got, err)
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
	if m := &e.memory; e.Held() != kept || m.order.Len() != kept || len(m.ends) != kept || m.bytes != maxBytes {
		t.Errorf("%d tokens are kept, %d in order, %d with an end, as %d bytes", len(m.of), m.order.Len(), len(m.ends), m.bytes)
	}
	if n := len(s.asked()); n != users {
		t.Fatalf("Entra was asked %d times", n)
	}
	exchange(users-kept+atOnce, users) // those that came last
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
	if n := len(m.of); n != maxEntries || m.order.Len() != n || len(m.ends) != n || m.bytes != n*len("good") {
		t.Errorf("%d are kept, %d in order, %d with an end, as %d bytes", n, m.order.Len(), len(m.ends), m.bytes)
	}
	if a, _ := m.look(user(0), now); !a.known() {
		t.Error("who called last is forgotten")
	}
	if a, _ := m.look(user(1), now); a.known() {
		t.Error("who called first is not")
	}
}

func TestWhatIsOverGoesFirst(t *testing.T) {
	t.Parallel()
	const half = 30 * time.Minute
	m, now := newMemory(), time.Now()
	user := func(i int) query { return plainQuery(tenant, fmt.Sprint("user-", i)) }
	ends := func(i int) time.Time { // in no order: after half an hour for some, else an hour
		if i%3 == 1 {
			return now.Add(half)
		}
		return now.Add(time.Hour)
	}
	for i := range maxEntries {
		m.keep(user(i), "good", ends(i), now)
	}
	m.refuse(user(maxEntries+1), &Refusal{Reason: Consent}, now)
	m.spend(againQuery(tenant, "user-0", "good", ""), now)
	m.keep(user(maxEntries), "good", now.Add(2*time.Hour), now.Add(half))
	for i := range maxEntries {
		if a, _ := m.look(user(i), now.Add(half)); a.known() != (i%3 != 1) && i > 0 {
			t.Fatalf("of user %d is known: %+v", i, a)
		}
	}
	m.keep(user(maxEntries+2), "good", now.Add(2*time.Hour), now.Add(time.Hour))
	if len(m.of) != 2 || len(m.ends) != 2 || m.order.Len() != 2 || m.bytes != 2*len("good") {
		t.Errorf("%d are kept, %d with an end, %d in order, as %d bytes", len(m.of), len(m.ends), m.order.Len(), m.bytes)
	}
}

// Entra gives some tokens for a day: nobody can ask for them without the user's.
func TestTokenIsNotKeptBeyondTheUsersOwn(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for exp, kept := range map[string]time.Duration{
		fmt.Sprint(now.Add(time.Hour).Unix()): time.Hour, fmt.Sprint(now.Add(30 * time.Hour).Unix()): maxLife, fmt.Sprint(now.Unix()): 0,
		`"soon"`: maxLife, "-1": maxLife, "0": maxLife, "1e300": maxLife, "99999999999999": maxLife, "null": maxLife,
	} {
		m := newMemory()
		m.keep(plainQuery(tenant, jwt(fmt.Sprintf(`{"oid":"ada","exp":%s}`, exp))), "good", now.Add(maxLife), now)
		if kept == 0 {
			if len(m.of) != 0 {
				t.Errorf("exp %s: kept", exp)
			}
			continue
		}
		if left := m.ends[0].held.end.Sub(now); left > kept || left <= kept-time.Second {
			t.Errorf("exp %s: kept for %s, want %s", exp, left, kept)
		}
	}
}

func TestEachRememberedClaimCounts(t *testing.T) {
	t.Parallel()
	m, now := newMemory(), time.Now()
	r := &Refusal{Reason: Challenged, Claims: strings.Repeat("x", maxClaims)}
	for i := range maxBytes / maxClaims {
		m.refuse(plainQuery(tenant, fmt.Sprint("user-", i)), r, now)
		m.refuse(againQuery(tenant, fmt.Sprint("user-", i), "refused", "{}"), r, now)
	}
	if m.bytes != maxBytes || len(m.of) != maxBytes/maxClaims/2 {
		t.Errorf("%d users are known, as %d bytes", len(m.of), m.bytes)
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
