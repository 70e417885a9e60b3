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

func TestRefusedTokenIsForgottenWhateverEntraSays(t *testing.T) {
	t.Parallel()
	answers := []func() (int, string){
		func() (int, string) { return gives("bad", 3600) },
		func() (int, string) { return refuses(90033, "") },
		func() (int, string) { return gives("good", 3600) },
	}
	s := &stub{t: t}
	s.answer = func(*http.Request, url.Values) (int, string) { return answers[len(s.asked())-1]() }
	e := s.exchanger()
	bad, err := e.Exchange(t.Context(), tenant, of("ada"))
	wantToken(t, "bad", bad, err)
	_, err = e.Again(t.Context(), tenant, of("ada"), bad, claimed)
	wantRefusal(t, Unavailable, err)
	got, err := e.Exchange(t.Context(), tenant, of("ada"))
	wantToken(t, "good", got, err)
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
	for _, claims := range []string{"x", "[]", "null", `"{}"`, `{"a":1`, `{} {}`, `{"a":"` + strings.Repeat("x", maxClaims) + `"}`} {
		_, err := e.Again(t.Context(), tenant, of("ada"), "refused", claims)
		wantRefusal(t, Misconfigured, err)
	}
	if n := len(s.asked()); n != 0 {
		t.Errorf("Entra was asked %d times", n)
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
