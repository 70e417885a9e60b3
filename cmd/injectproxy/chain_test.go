package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/inject"
	"github.com/injectproxy/injectproxy/internal/match"
	"github.com/injectproxy/injectproxy/internal/record"
	"github.com/injectproxy/injectproxy/internal/replay"
	"github.com/injectproxy/injectproxy/internal/retry"
	"github.com/injectproxy/injectproxy/internal/telemetry"
	"github.com/injectproxy/injectproxy/internal/token"
)

// oneToken is a source that has one token.
type oneToken struct{}

func (oneToken) Token(context.Context, token.Ask) (token.Token, error) {
	return token.New("a-token", "test", time.Time{})
}

// answersAll answers every request alike.
type answersAll struct{ answer *http.Response }

func (a answersAll) RoundTrip(*http.Request) (*http.Response, error) { return a.answer, nil }

// chain returns the layers of a rule over an upstream that answers at once, an
// ordinary request for them, and all that is told of it.
func chain(t testing.TB) (send func()) {
	t.Helper()
	prefix, err := match.ParsePrefix("https://api.corp.test/v1/")
	must(t, err)
	cache := token.NewCache(oneToken{}, token.Options{})
	t.Cleanup(cache.Close)
	var route http.RoundTripper = observed{answering{retry.New(
		inject.New(answersAll{&http.Response{StatusCode: 200, Body: http.NoBody}}, inject.Options{
			Prefixes: []match.Prefix{prefix}, Tokens: cache, Header: "Authorization", Scheme: "Bearer",
		}),
		retry.Options{Tokens: cache, BodyLimit: 1 << 20, Memory: replay.NewBudget(1 << 20)},
	)}}
	watch := &observer{
		log: slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelWarn})), history: telemetry.NewHistory(nil),
		metrics: telemetry.NewMetrics(telemetry.MetricsOptions{}),
	}
	header := http.Header{"Accept": {"*/*"}, "Content-Type": {"application/json"}, "User-Agent": {"sdk"}, "X-Stainless-Os": {"Linux"}}
	bare, err := http.NewRequestWithContext(context.Background(), "GET", "https://api.corp.test:443/v1/models?api-version=1", nil)
	must(t, err)
	bare.Header = header
	r := &record.Record{Start: time.Now(), Method: "GET", Authority: "api.corp.test:443", Path: "/v1/models", Status: 200}
	req := bare.WithContext(record.NewContext(bare.Context(), r))
	return func() {
		watch.began(r, header)
		if _, err := route.RoundTrip(req); err != nil {
			t.Error(err)
		}
		r.Answered = time.Now()
		watch.answered(r)
		watch.done(r)
	}
}

func TestLayersOfARuleCostLittleMemory(t *testing.T) {
	send := chain(t)
	send()
	if n := testing.AllocsPerRun(200, send); n > 12 {
		t.Errorf("%v allocations for one request", n)
	}
}

// BenchmarkLayers is what the layers of a rule, and all that is told of it, add
// to a request.
func BenchmarkLayers(b *testing.B) {
	send := chain(b)
	b.ReportAllocs()
	for b.Loop() {
		send()
	}
}
