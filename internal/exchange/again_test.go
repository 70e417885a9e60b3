package exchange

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const claimed = `{"access_token":{"nbf":{"essential":true,"value":"1"}}}`

func TestRefusedTokenIsReplacedByAnother(t *testing.T) {
	t.Parallel()
	s := counting(t)
	e := s.exchanger()
	first, err := e.Exchange(t.Context(), tenant, of("ada"))
	wantToken(t, "token-1", first, err)
	second, err := e.Again(t.Context(), tenant, of("ada"), first, claimed)
	wantToken(t, "token-2", second, err)
	var sent struct {
		Token map[string]any `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(s.asked()[1].Get("claims")), &sent); err != nil || sent.Token["nbf"] == nil || sent.Token["xms_cc"] == nil {
		t.Errorf("sent the claims %s", s.asked()[1].Get("claims"))
	}
	if s.asked()[1].Get("grant_type") != s.asked()[0].Get("grant_type") {
		t.Errorf("asked by %s", s.asked()[1].Get("grant_type"))
	}
	late, err := e.Again(t.Context(), tenant, of("ada"), first, claimed) // who was refused the first at the same time
	wantToken(t, second, late, err)
	next, err := e.Exchange(t.Context(), tenant, of("ada"))
	wantToken(t, second, next, err)
	if n := len(s.asked()); n != 2 {
		t.Errorf("Entra was asked %d times", n)
	}
}

func TestTokenGotWithoutTheClaimsDoesNotMeetThem(t *testing.T) {
	t.Parallel()
	s := counting(t)
	e := s.exchanger()
	got, err := e.Again(t.Context(), tenant, of("ada"), "refused", "")
	wantToken(t, "token-1", got, err)
	got, err = e.Again(t.Context(), tenant, of("ada"), "refused", claimed)
	wantToken(t, "token-2", got, err)
	got, err = e.Again(t.Context(), tenant, of("ada"), "refused", "")
	wantToken(t, "token-2", got, err)
}

func TestHerdOfOneUserThatWasRefusedAsksOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := counting(t)
		e := s.exchanger()
		defer e.Close()
		first, err := e.Exchange(t.Context(), tenant, of("ada"))
		wantToken(t, "token-1", first, err)
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				got, err := e.Again(t.Context(), tenant, of("ada"), first, claimed)
				if err != nil || got != "token-2" {
					t.Errorf("got %q, %v", got, err)
				}
			})
		}
		wg.Wait()
		if n := len(s.asked()); n != 2 {
			t.Errorf("Entra was asked %d times", n)
		}
	})
}

func TestRefusedTokenNeverComesBack(t *testing.T) {
	t.Parallel()
	s := &stub{t: t, answer: func(*http.Request, url.Values) (int, string) { return gives("the-same", 3600) }}
	e := s.exchanger()
	first, err := e.Exchange(t.Context(), tenant, of("ada"))
	wantToken(t, "the-same", first, err)
	for range 3 {
		got, err := e.Again(t.Context(), tenant, of("ada"), first, "")
		wantRefusal(t, Misconfigured, err)
		if got != "" {
			t.Errorf("got %q", got)
		}
	}
	if n := len(s.asked()); n != 2 {
		t.Errorf("Entra was asked %d times", n)
	}
}

// One server's refusal, while Entra is away, is nothing to the others.
func TestRefusedTokenStaysUntilThereIsAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		answers := []func() (int, string){
			func() (int, string) { return gives("bad", 3600) },
			func() (int, string) { return refuses(90033, "") },
			func() (int, string) { return refuses(50076, `{"access_token":{}}`) },
			func() (int, string) { return gives("good", 3600) },
			func() (int, string) { return refuses(50173, "") },
		}
		s := &stub{t: t}
		s.answer = func(*http.Request, url.Values) (int, string) { return answers[min(len(s.asked()), len(answers))-1]() }
		e := s.exchanger()
		defer e.Close()
		exchange := func(want string) {
			t.Helper()
			got, err := e.Exchange(t.Context(), tenant, of("ada"))
			wantToken(t, want, got, err)
		}
		again := func(claims string) error {
			_, err := e.Again(t.Context(), tenant, of("ada"), "bad", claims)
			return err
		}
		exchange("bad")
		wantRefusal(t, Unavailable, again(""))
		exchange("bad")
		time.Sleep(unavailableFor)
		wantRefusal(t, Challenged, again(claimed))
		exchange("bad")
		time.Sleep(replacedWithin)
		if err := again(claimed); err != nil {
			t.Fatal(err)
		}
		exchange("good")
		_, err := e.Again(t.Context(), tenant, of("ada"), "good", "")
		wantRefusal(t, SignIn, err)
		_, err = e.Exchange(t.Context(), tenant, of("ada")) // it is over for all
		wantRefusal(t, SignIn, err)
		if n := len(s.asked()); n != len(answers) {
			t.Errorf("Entra was asked %d times", n)
		}
	})
}

// What an API asks for has no say in how often Entra is asked.
func TestAPIThatAsksForOtherClaimsEachTimeIsNoLoop(t *testing.T) {
	t.Parallel()
	for name, refused := range map[string]bool{"Entra gives them": false, "Entra refuses them": true} {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			s := &stub{t: t, answer: func(_ *http.Request, f url.Values) (int, string) {
				if n++; refused && strings.Contains(f.Get("claims"), `"x"`) {
					return refuses(70011, "")
				}
				return gives(fmt.Sprint("token-", n), 3600)
			}}
			e := s.exchanger()
			defer e.Close()
			round := func(from, to, given, want int) {
				t.Helper()
				for i := from; i < to; i++ {
					first, err := e.Exchange(t.Context(), tenant, of("ada"))
					if err != nil {
						t.Fatal(err)
					}
					_, err = e.Again(t.Context(), tenant, of("ada"), first, fmt.Sprintf(`{"access_token":{"x":{"value":"%d"}}}`, i))
					if refused || i >= from+given {
						wantRefusal(t, Misconfigured, err)
					} else if err != nil {
						t.Fatal(err)
					}
				}
				if got := len(s.asked()); got != want {
					t.Errorf("%s: Entra was asked %d times, want %d", name, got, want)
				}
			}
			round(0, 100, maxReplaced, 1+maxReplaced)
			time.Sleep(replacedWithin - 1)
			round(100, 101, 0, 1+maxReplaced)
			time.Sleep(time.Nanosecond)
			round(101, 200, maxReplaced, 1+2*maxReplaced)
		})
	}
}

func TestRefusedClaimsPushOutNobodysToken(t *testing.T) {
	t.Parallel()
	m, now := newMemory(), time.Now()
	m.keep(plainQuery(tenant, "bob"), "good", now.Add(time.Hour), now)
	for i := range 2 * maxEntries {
		m.refuse(againQuery(tenant, "ada", "refused", fmt.Sprintf(`{"x":%d}`, i)), &Refusal{Reason: Challenged}, now)
	}
	if a, _ := m.look(plainQuery(tenant, "bob"), now); a.token != "good" || m.order.Len() != 2 {
		t.Errorf("of bob %+v is known, and of %d users something", a, m.order.Len())
	}
}

// Two servers of one API: that one of them has taken another token says nothing of
// why the next refuses it.
func TestRefusalOfAnotherServerHasItsTurn(t *testing.T) {
	t.Parallel()
	s := counting(t)
	e := s.exchanger()
	first, err := e.Exchange(t.Context(), tenant, of("ada"))
	wantToken(t, "token-1", first, err)
	second, err := e.Again(t.Context(), tenant, of("ada"), first, "")
	wantToken(t, "token-2", second, err)
	third, err := e.Again(t.Context(), tenant, of("ada"), second, "")
	wantToken(t, "token-3", third, err)
}

func TestUserWhoProvesMoreHasTokensReplacedAnew(t *testing.T) {
	t.Parallel()
	s := &stub{t: t, answer: func(_ *http.Request, f url.Values) (int, string) {
		if f.Get("assertion") == of("ada") && strings.Contains(f.Get("claims"), "nbf") {
			return refuses(50076, claimed)
		}
		return gives("for-"+f.Get("assertion"), 3600)
	}}
	e := s.exchanger()
	for range 2 * maxReplaced {
		_, err := e.Again(t.Context(), tenant, of("ada"), "refused", claimed)
		wantRefusal(t, Challenged, err)
	}
	stronger := jwt(fmt.Sprintf(`{"oid":"ada","tid":%q,"acrs":["c1"]}`, tenant))
	got, err := e.Again(t.Context(), tenant, stronger, "refused", claimed)
	wantToken(t, "for-"+stronger, got, err)
}

// An API that takes no token of Entra's does not have Entra asked for each call.
func TestAPIThatRefusesEachTokenIsNoLoop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := counting(t)
		e := s.exchanger()
		defer e.Close()
		for range 100 { // calls, each of which is refused twice
			first, err := e.Exchange(t.Context(), tenant, of("ada"))
			if err != nil {
				t.Fatal(err)
			}
			_, _ = e.Again(t.Context(), tenant, of("ada"), first, claimed)
			time.Sleep(50 * time.Millisecond)
		}
		if n := len(s.asked()); n != 2 {
			t.Errorf("Entra was asked %d times in five seconds", n)
		}
		time.Sleep(proven)
		if _, err := e.Again(t.Context(), tenant, of("ada"), "token-2", claimed); err != nil {
			t.Errorf("later: %v", err)
		}
	})
}

func TestClaimsOfAnAPIAreRefusedUnlessTheyAreAnObject(t *testing.T) {
	t.Parallel()
	s := counting(t)
	e := s.exchanger()
	for _, claims := range []string{
		"x", "[]", "null", `"{}"`, `{"a":1`, `{} {}`, `{"a":"` + strings.Repeat("x", maxClaims) + `"}`,
		`{"access_token":1}`, `{"access_token":null}`, `{"access_token":[]}`, `{"access_token":{"xms_cc":1}}`, `{"access_token":{"xms_cc":null}}`,
		`{"access_token":{},"access_token":"x"}`, `{"access_token":{"xms_cc":["cp1"]}}`,
	} {
		_, err := e.Again(t.Context(), tenant, of("ada"), "refused", claims)
		if r := wantRefusal(t, Misconfigured, err); !strings.Contains(r.Detail, "the API asks for claims") {
			t.Errorf("%s: %s", claims, r.Detail)
		}
	}
	if n := len(s.asked()); n != 0 {
		t.Errorf("Entra was asked %d times", n)
	}
}

func TestClaimsOfAnAPIThatMeetTheGatesOwnAreAskedFor(t *testing.T) {
	t.Parallel()
	for _, claims := range []string{`{}`, `{"access_token":{}}`, ` { "access_token" : { "xms_cc" : { "essential" : true } } }`, `{"id_token":1}`, `{"Access_Token":1}`} {
		s := counting(t)
		got, err := s.exchanger().Again(t.Context(), tenant, of("ada"), "refused", claims)
		wantToken(t, "token-1", got, err)
	}
}

func TestRefusalOfTheClaimsIsRememberedForThemAlone(t *testing.T) {
	t.Parallel()
	s := &stub{t: t, answer: func(_ *http.Request, f url.Values) (int, string) {
		if strings.Contains(f.Get("claims"), "nbf") {
			return refuses(50076, `{"access_token":{"acrs":{"essential":true,"value":"c1"}}}`)
		}
		return gives("good", 3600)
	}}
	e := s.exchanger()
	for range 3 {
		_, err := e.Again(t.Context(), tenant, of("ada"), "refused", claimed)
		wantRefusal(t, Challenged, err)
	}
	got, err := e.Exchange(t.Context(), tenant, of("ada"))
	wantToken(t, "good", got, err)
	if n := len(s.asked()); n != 2 {
		t.Errorf("Entra was asked %d times: %s", n, fmt.Sprint(s.asked()))
	}
}

// TestOtherClaimsAreAskedForAtOnce holds also of a token that has just been issued: it
// was asked for with others.
func TestOtherClaimsAreAskedForAtOnce(t *testing.T) {
	t.Parallel()
	s := counting(t)
	e := s.exchanger()
	got, err := e.Again(t.Context(), tenant, of("ada"), "refused", claimed)
	wantToken(t, "token-1", got, err)
	got, err = e.Again(t.Context(), tenant, of("ada"), got, `{"access_token":{"acrs":{"essential":true,"value":"c2"}}}`)
	wantToken(t, "token-2", got, err)
}

// TestTokenThatIsOverReplacesNone holds of one that was got in place of another, too.
func TestTokenThatIsOverReplacesNone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := counting(t)
		e := s.exchanger()
		defer e.Close()
		got, err := e.Exchange(t.Context(), tenant, of("ada"))
		wantToken(t, "token-1", got, err)
		time.Sleep(time.Hour)
		got, err = e.Again(t.Context(), tenant, of("ada"), "refused", "")
		wantToken(t, "token-2", got, err)
	})
}

// TestTokenStaysWhoseClaimsSomebodyElseLacks holds while Entra refuses these claims,
// which is asked again in a while.
func TestTokenStaysWhoseClaimsSomebodyElseLacks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &stub{t: t, answer: func(_ *http.Request, f url.Values) (int, string) {
			if strings.Contains(f.Get("claims"), "nbf") {
				return refuses(65001, "")
			}
			return gives("good", 3600)
		}}
		e := s.exchanger()
		defer e.Close()
		asked := 1
		for range 3 {
			got, err := e.Exchange(t.Context(), tenant, of("ada"))
			wantToken(t, "good", got, err)
			for range 2 {
				_, err = e.Again(t.Context(), tenant, of("ada"), "another", claimed)
				wantRefusal(t, Consent, err)
			}
			if asked++; len(s.asked()) != asked {
				t.Errorf("Entra was asked %d times, want %d", len(s.asked()), asked)
			}
			time.Sleep(refusedFor)
		}
	})
}
