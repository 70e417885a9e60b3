package inject_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/inject"
	"github.com/injectproxy/injectproxy/internal/match"
	"github.com/injectproxy/injectproxy/internal/token"
)

// nothing answers every request with one answer, and tells what came.
func nothing(told func(*http.Request)) http.RoundTripper {
	resp := &http.Response{StatusCode: 200, Body: http.NoBody}
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		told(r)
		return resp, nil
	})
}

// given is a source of the tokens that it is given.
type given chan string

func (g given) Token(context.Context, token.Ask) (token.Token, error) {
	return token.New(<-g, "test", time.Time{})
}

func TestAttachingATokenCostsLittleMemory(t *testing.T) {
	prefix, err := match.ParsePrefix("https://api.example/v1/")
	if err != nil {
		t.Fatal(err)
	}
	rt := inject.New(nothing(func(*http.Request) {}), inject.Options{Prefixes: []match.Prefix{prefix}, Tokens: newCache(t, new(source)), Scheme: "Bearer"})
	req, err := http.NewRequest("GET", "https://api.example:443/v1/models?api-version=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Accept": {"*/*"}, "User-Agent": {"sdk"}, "Authorization": {"Bearer dummy"}}
	ctx := token.WithUse(t.Context(), new(token.Use))
	req = req.WithContext(ctx)
	// The request and the map of its header, which are not ours to change.
	if n := testing.AllocsPerRun(100, func() { rt.RoundTrip(req) }); n > 3 {
		t.Errorf("%v allocations", n)
	}
}

// A value that is kept for the next request must neither outlive its token nor
// take anything from who has it.
func TestEachRequestHasTheValueOfItsOwnToken(t *testing.T) {
	t.Parallel()
	prefix, err := match.ParsePrefix("https://api.example/v1/")
	if err != nil {
		t.Fatal(err)
	}
	tokens := make(given, 1)
	cache := token.NewCache(tokens, token.Options{})
	t.Cleanup(cache.Close)
	var got []string
	rt := inject.New(nothing(func(r *http.Request) {
		got = r.Header["Authorization"]
		r.Header["Authorization"] = append(r.Header["Authorization"], "of somebody below")
	}), inject.Options{Prefixes: []match.Prefix{prefix}, Tokens: cache, Scheme: "Bearer"})
	send := func(want string) (sent token.Token) {
		t.Helper()
		use := new(token.Use)
		req, err := http.NewRequestWithContext(token.WithUse(t.Context(), use), "GET", "https://api.example/v1/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := rt.RoundTrip(req); err != nil {
			t.Fatal(err)
		}
		if len(got) != 1 || cap(got) != 1 || got[0] != "Bearer "+want {
			t.Errorf("sent %q, want %q", got, want)
		}
		return use.Token
	}
	tokens <- "first"
	first := send("first")
	send("first")
	tokens <- "second"
	if _, err := cache.Replace(t.Context(), first, ""); err != nil {
		t.Fatal(err)
	}
	send("second")
	send("second")
}
