package retry

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/token"
)

func TestRuleGoesByTokensNotByWhoSendsThem(t *testing.T) {
	t.Parallel()
	first, second, third := value(t, "first"), value(t, "second"), value(t, "third")
	clock := time.Unix(0, 0)
	r := &rule{now: func() time.Time { return clock }}
	ask := func(what string, tok token.Token, want bool) {
		t.Helper()
		if _, got := r.refused(tok); got != want {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	ask("the first refusal", first, true)
	ask("another of the same token", first, true)
	// Someone has picked the fresh token up from the cache, and is refused before
	// those who had it made.
	ask("the first refusal of the fresh token", second, false)
	for range 100 {
		r.refusedAgain(second)
	}
	if r.rest != firstRest {
		t.Errorf("a hundred refusals of one token began a rest of %v", r.rest)
	}
	ask("a late refusal of the old token, in the rest", first, false)
	clock = clock.Add(firstRest)
	ask("after the rest", second, true)
	r.refusedAgain(second) // it was sent before the rest began
	ask("though a refusal came late", second, true)
	r.refusedAgain(third)
	if r.rest != 2*firstRest {
		t.Errorf("the second rest is %v", r.rest)
	}
	r.accepted()
	ask("once one was accepted", third, true)
}

// swapped stands for a cache that gets yet another token between the refresh and
// the second attempt.
type swapped struct{ nexts []token.Token }

func (s *swapped) RoundTrip(req *http.Request) (*http.Response, error) {
	use := token.UseFrom(req.Context())
	s.nexts = append(s.nexts, use.Next)
	use.Token, use.Next = use.Next, token.Token{}
	if use.Token.IsZero() {
		use.Token, _ = token.New("first", "test", time.Time{})
		return &http.Response{StatusCode: 401, Body: http.NoBody}, nil
	}
	return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
}

type fixed string

func (f fixed) Token(context.Context, token.Ask) (token.Token, error) {
	return token.New(string(f), "test", time.Time{})
}

func TestSecondAttemptCarriesTheTokenThatTheRefreshGave(t *testing.T) {
	t.Parallel()
	cache := token.NewCache(fixed("second"), token.Options{})
	defer cache.Close()
	next := new(swapped)
	req, err := http.NewRequestWithContext(t.Context(), "GET", "https://a.test/", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := New(next, Options{Tokens: cache}).RoundTrip(req)
	if err != nil || resp.StatusCode != 200 || len(next.nexts) != 2 || !next.nexts[1].Equal(value(t, "second")) {
		t.Errorf("got %v, %v with %v", resp, err, next.nexts)
	}
}

func value(t *testing.T, s string) token.Token {
	t.Helper()
	tok, err := token.New(s, "test", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return tok
}
