package gate

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/injectproxy/injectproxy/internal/verify"
)

// What is explained is what is served, to the letter of the challenge; and of
// what would be passed on, nothing reaches a server.
func TestExplainAnswersAsServingDoesAndSendsNothing(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"jsonrpc":"2.0","id":1,"result":{}}`))
	}))
	defer upstream.Close()
	to, _ := url.Parse(upstream.URL)
	public := &url.URL{Scheme: "https", Host: "gate.example"}
	callers := map[string]*verify.Caller{
		"user":   {Scopes: []string{"read"}},
		"reader": {Scopes: []string{"read", "more"}},
		"app":    {Roles: []string{"App"}},
		"nobody": {},
	}
	g, err := New(Options{
		PublicURL: public, AppIDURI: "api://x", Log: slog.New(slog.DiscardHandler),
		Routes: []Route{{
			Path: "/mcp", Upstreams: []*url.URL{to}, Needs: Needs{Scopes: []string{"read"}, Roles: []string{"App"}},
			Tools: []Grant{{Pattern: "free"}, {Pattern: "dear", Needs: Needs{Scopes: []string{"more"}}}, {Pattern: "role", Needs: Needs{Roles: []string{"R"}}}},
		}, {Path: "/open", Upstreams: []*url.URL{to}, Mode: Optional, Tools: []Grant{{Pattern: "free"}, {Pattern: "dear", Needs: Needs{Scopes: []string{"more"}}}}}},
		Verify: func(_ context.Context, token string) (*verify.Caller, error) { return callers[token], nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(path, token, tool string) *http.Request {
		r := httptest.NewRequest("POST", "https://gate.example"+path, strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+tool+`"}}`))
		r.Header.Set("Content-Type", "application/json")
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		return r
	}
	passed, refused := 0, 0
	for _, path := range []string{"/mcp", "/open/deeper", "/elsewhere", "/healthz", "/a//b"} {
		for _, token := range []string{"", "user", "reader", "app", "nobody"} {
			for _, tool := range []string{"free", "dear", "role", "unknown"} {
				explained, served := httptest.NewRecorder(), httptest.NewRecorder()
				before := asked.Load()
				seen, to := g.Explain(explained, ask(path, token, tool))
				if wants := strings.HasPrefix(path, "/mcp") || strings.HasPrefix(path, "/open"); wants != (len(to) == 1 && to[0].String() == upstream.URL+path) {
					t.Errorf("%s is for %v", path, to)
				}
				if asked.Load() != before {
					t.Fatalf("%s %s %s: the server was asked", path, token, tool)
				}
				g.ServeHTTP(served, ask(path, token, tool))
				if went := asked.Load() > before; went != seen.Allowed {
					t.Errorf("%s %s %s: explained as passed on %v, and it is %v", path, token, tool, seen.Allowed, went)
				}
				if seen.Allowed {
					passed++
					if explained.Body.Len() > 0 || len(explained.Header()) > 0 {
						t.Errorf("%s %s %s: it is passed on, and answered %s", path, token, tool, explained.Body)
					}
					continue
				}
				refused++
				if explained.Code != served.Code || explained.Body.String() != served.Body.String() || !reflect.DeepEqual(explained.Header(), served.Header()) {
					t.Errorf("%s %s %s: explained as\n%d %v %s\nand served as\n%d %v %s", path, token, tool,
						explained.Code, explained.Header(), explained.Body, served.Code, served.Header(), served.Body)
				}
			}
		}
	}
	if passed < 5 || refused < 20 {
		t.Errorf("only %d were passed on, and %d refused", passed, refused)
	}
}
