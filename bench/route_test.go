package bench_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/inject"
	"github.com/injectproxy/injectproxy/internal/match"
	"github.com/injectproxy/injectproxy/internal/replay"
	"github.com/injectproxy/injectproxy/internal/retry"
	"github.com/injectproxy/injectproxy/internal/token"
)

const target = "https://api.example/v1/chat/completions"

// issuer yields another token each time it is asked, after a while.
type issuer struct {
	wait time.Duration
	asks atomic.Int64
}

func (s *issuer) Token(ctx context.Context, _ token.Ask) (token.Token, error) {
	if err := rest(ctx, s.wait); err != nil {
		return token.Token{}, err
	}
	return token.New(fmt.Sprintf("token-%d-%0200d", s.asks.Add(1), 0), "benchmark", time.Now().Add(time.Hour))
}

// rest returns when d has passed, or with an error when ctx ends before.
func rest(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// upstream is what the last layer of a route hands requests to. It reads bodies
// and refuses the tokens that refuse names.
type upstream struct {
	away   time.Duration // a round trip
	refuse func(authorization string) bool
}

func (u upstream) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		// A body that could write itself is read as one from the network is.
		if _, err := io.Copy(io.Discard, struct{ io.Reader }{req.Body}); err != nil {
			return nil, err
		}
		req.Body.Close()
	}
	if err := rest(req.Context(), u.away); err != nil {
		return nil, err
	}
	status := http.StatusOK
	if u.refuse != nil && u.refuse(req.Header.Get("Authorization")) {
		status = http.StatusUnauthorized
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody, Request: req}, nil
}

// newCache returns the cache of an audience. It ends with the benchmark.
func newCache(b *testing.B, s token.Source) *token.Cache {
	b.Helper()
	c := token.NewCache(s, token.Options{Name: "bench", Margin: 5 * time.Minute})
	b.Cleanup(c.Close)
	return c
}

// newRoute returns the layers that a rule's requests pass on their way to next:
// a refused token is replaced, the token attached.
func newRoute(b *testing.B, next http.RoundTripper, tokens *token.Cache, memory *replay.Budget) http.RoundTripper {
	return retry.New(inject.New(next, inject.Options{
		Prefixes: []match.Prefix{parsePrefix(b, "https://api.example/v1/")}, Tokens: tokens, Scheme: "Bearer", Strip: []string{"X-Api-Key"},
	}), retry.Options{Tokens: tokens, BodyLimit: 8 << 20, Memory: memory})
}

// header is what an SDK sends.
func header() http.Header {
	return http.Header{
		"Accept": {"application/json"}, "Accept-Encoding": {"gzip"}, "Authorization": {"Bearer dummy"}, "Content-Type": {"application/json"},
		"User-Agent": {"sdk"}, "X-Api-Key": {"dummy"}, "X-Stainless-Os": {"Linux"}, "X-Stainless-Lang": {"js"}, "X-Stainless-Runtime": {"node"},
	}
}

// post sends a body through a route and reports how often it went upstream.
func post(ctx context.Context, route http.RoundTripper, h http.Header, body []byte) (attempts int, err error) {
	use := new(token.Use)
	req, err := http.NewRequestWithContext(token.WithUse(ctx, use), "POST", target, nil)
	if err != nil {
		return 0, err
	}
	req.Header = h
	if len(body) > 0 {
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	res, err := route.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return 0, errors.New(res.Status)
	}
	return use.Attempts, nil
}

// BenchmarkToken is a cached token, taken by as many as there are processors.
// One that takes it alone is measured in internal/token.
func BenchmarkToken(b *testing.B) {
	c := newCache(b, new(issuer))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := c.Token(context.Background()); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkRoute is a request with a body of 1 KiB through all layers of an
// ordinary rule: its token is accepted, or refused and replaced. What the
// layers cost apart is measured in internal/inject and internal/retry.
func BenchmarkRoute(b *testing.B) {
	body := bytes.Repeat([]byte{'a'}, 1<<10)
	for _, test := range []struct {
		name     string
		refuse   func(string) bool
		attempts int
	}{
		{"accepted", nil, 1},
		{"mended", refusingEachAfterOne(), 2},
	} {
		b.Run("token="+test.name, func(b *testing.B) {
			route := newRoute(b, upstream{refuse: test.refuse}, newCache(b, new(issuer)), replay.NewBudget(256<<20))
			h := header()
			b.ReportAllocs()
			for b.Loop() {
				if n, err := post(b.Context(), route, h, body); err != nil || n != test.attempts {
					b.Fatal(n, err)
				}
			}
		})
	}
}

// refusingEachAfterOne judges tokens as an upstream does that accepts each one
// for one request: the next has to have it replaced. It takes requests one by
// one.
func refusingEachAfterOne() func(string) bool {
	spent := ""
	return func(authorization string) bool {
		if spent == "" || authorization == spent {
			spent = "none"
			return true
		}
		spent = authorization
		return false
	}
}
