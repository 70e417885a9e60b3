package e2e_test

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestNodeMCPSession: the reference client and the reference server, behind a
// door that wants the token. Progress and a request of the server's own come
// back on open streams.
func TestNodeMCPSession(t *testing.T) {
	t.Parallel()
	n := needNode(t)
	w, g := newWorld(t), newGateway(t)
	u := w.upstream("mcp.corp.test", g.token, http2too, everything(t, n))
	p := w.serve(options{rules: g.rules(`kind = "mcp"`, u.url+"/mcp"), hidden: []string{g.token}})
	out, _ := n.behind(p).run(t, n.program, n.script(t, "mcp.mjs"), u.url+"/mcp")
	var got struct {
		Tools    []string
		Echo     string
		Progress []int
		Sampled  string
		Asked    bool
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("the client said %q: %v", out, err)
	}
	if !slices.Contains(got.Tools, "echo") {
		t.Errorf("tools: %q, want echo among them", got.Tools)
	}
	if want := "Echo: grüß dich"; got.Echo != want {
		t.Errorf("echo: %q, want %q", got.Echo, want)
	}
	if want := []int{1, 2, 3}; !slices.Equal(got.Progress, want) {
		t.Errorf("progress: %d, want %d", got.Progress, want)
	}
	if !got.Asked || !strings.Contains(got.Sampled, "the sampled answer") {
		t.Errorf("the server asked: %v, and got %q", got.Asked, got.Sampled)
	}
	u.wantGuarded(t)
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
		if !slices.ContainsFunc(u.to("/mcp"), func(v visit) bool { return v.method == method }) {
			t.Errorf("no %s arrived", method)
		}
	}
}

// everything starts the reference server on loopback and returns what leads to
// it, without the token.
func everything(t *testing.T, n node) http.Handler {
	t.Helper()
	main := filepath.Join(n.modules, "@modelcontextprotocol", "server-everything", "dist", "index.js")
	loopback, err := filepath.Abs("testdata/loopback.cjs")
	if err != nil {
		t.Fatal(err)
	}
	lines, _ := client{}.lines(t, n.program, "--require", loopback, main, "streamableHttp")
	for {
		l, err := receive(lines)
		if err != nil {
			t.Fatalf("server-everything: %v", err)
		}
		if address, ok := strings.CutPrefix(l, "loopback "); ok {
			go func() { // it stops when it cannot write
				for range lines {
				}
			}()
			return leadingTo(address)
		}
	}
}
