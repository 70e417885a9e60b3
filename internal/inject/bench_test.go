package inject_test

import (
	"net/http"
	"testing"

	"github.com/injectproxy/injectproxy/internal/inject"
	"github.com/injectproxy/injectproxy/internal/match"
)

// BenchmarkInject is what the layer adds to a request of an SDK.
func BenchmarkInject(b *testing.B) {
	prefix, err := match.ParsePrefix("https://api.example/v1/")
	if err != nil {
		b.Fatal(err)
	}
	resp := &http.Response{StatusCode: 200, Body: http.NoBody}
	rt := inject.New(roundTripper(func(*http.Request) (*http.Response, error) { return resp, nil }), inject.Options{
		Prefixes: []match.Prefix{prefix}, Tokens: newCache(b, new(source)), Scheme: "Bearer", Strip: []string{"X-Api-Key"},
	})
	req, err := http.NewRequest("POST", "https://api.example/v1/chat/completions", nil)
	if err != nil {
		b.Fatal(err)
	}
	req.Header = http.Header{
		"Accept": {"application/json"}, "Accept-Encoding": {"gzip"}, "Authorization": {"Bearer dummy"}, "Content-Type": {"application/json"},
		"User-Agent": {"sdk"}, "X-Api-Key": {"dummy"}, "X-Stainless-Os": {"Linux"}, "X-Stainless-Lang": {"js"}, "X-Stainless-Runtime": {"node"},
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := rt.RoundTrip(req); err != nil {
			b.Fatal(err)
		}
	}
}
