package e2e_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// TestNodeMCPClientIsToldWhy: the server no longer takes the token, and there is
// no other. The SDK reports what is wrong as the error of the call, in a session
// and at the beginning of one, and starts no sign-in of its own.
func TestNodeMCPClientIsToldWhy(t *testing.T) {
	t.Parallel()
	n := needNode(t)
	w, g := newWorld(t), newGateway(t)
	var posts atomic.Int32
	server := everything(t, n)
	u := w.protected("mcp.corp.test", func(bearer string) bool {
		return bearer == g.token && posts.Load() < 3 // initialize, initialized, tools/list
	}, http2too, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			posts.Add(1)
		}
		server.ServeHTTP(rw, r)
	}))
	p := w.serve(options{rules: g.rules(`kind = "mcp"`, u.url+"/mcp"), hidden: []string{g.token}})
	out, _ := n.behind(p).run(t, n.program, n.script(t, "mcp-refused.mjs"), u.url+"/mcp")
	type failure struct {
		Name, Message string
		Code          int
		Data          struct{ Type, Hint string }
	}
	var got struct {
		Tools       int
		Call, Again failure
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("the client said %q: %v", out, err)
	}
	if got.Tools == 0 {
		t.Error("the session did not begin")
	}
	for _, f := range []failure{got.Call, got.Again} {
		if f.Name != "McpError" || f.Code != -32016 || f.Data.Type != "urn:injectproxy:problem:token-rejected" {
			t.Errorf("%+v", f)
		}
		for _, s := range []string{"The server refused the token", "token_file", f.Data.Hint} {
			if s == "" || !strings.Contains(f.Message, s) {
				t.Errorf("the client shows %q, without %q", f.Message, s)
			}
		}
	}
	for _, path := range []string{"/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-protected-resource", "/register"} {
		if len(u.to(path)) > 0 {
			t.Errorf("the client looked for a sign-in of its own at %s", path)
		}
	}
}
