package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// remote is the reference server behind a door that wants the token, with
// sessions, and what reached it.
func remote(t *testing.T, n node, transport string) (*mortal, *upstream, *shell) {
	t.Helper()
	w, g := newWorld(t), newGateway(t)
	m := begun(t, func() (string, func()) { return startEverything(t, n, transport) })
	u := w.upstream("mcp.corp.test", g.token, http2too, m)
	return m, u, w.shell("E2E_TOKEN=" + g.token)
}

// TestStdioHasAllOfTheReferenceServer: the TypeScript SDK's clients start the
// bridge and use each thing that the reference server has, most of which speaks
// of its own accord: on the stream of a request, on the one that is open all the
// time, in notifications, and in requests of its own.
func TestStdioHasAllOfTheReferenceServer(t *testing.T) {
	t.Parallel()
	thorough(t)
	n := needNode(t)
	for _, tt := range []struct {
		sdk, mode, transport string
		deletes              int
	}{
		{"1", "legacy", "streamableHttp", 1},
		{"2", "legacy", "streamableHttp", 1},
		{"2", "auto", "streamableHttp", 1}, // it asks for the era first, and is told that there are sessions
		{"1", "legacy", "sse", 0},
	} {
		t.Run(tt.sdk+" "+tt.mode+" "+tt.transport, func(t *testing.T) {
			t.Parallel()
			m, u, s := remote(t, n, tt.transport)
			c := client{env: s.env}
			args := slices.Concat([]string{n.script(t, "stdio-everything.mjs"), tt.sdk, tt.mode, s.program}, bridge(u.url+map[string]string{"streamableHttp": "/mcp", "sse": "/sse"}[tt.transport]))
			out, errs := c.run(t, n.program, args...)
			var got everythingSeen
			if err := json.Unmarshal([]byte(out), &got); err != nil {
				t.Fatalf("the client said %q: %v\n%s", out, err, errs)
			}
			got.check(t, 16)
			wantCancelled(t, m)
			u.wantGuarded(t)
			u.wantDeletes(t, tt.deletes)
		})
	}
}

// everythingSeen is what testdata/stdio-everything.mjs prints.
type everythingSeen struct {
	Server                          string
	Tools                           []string
	Echo, Logged, Sampled, Elicited string
	Roots, RootsLater               string
	Progress                        []int
	Completed                       []string
	Prompt, Read                    int
	Updated                         bool
	Cancelled, After                string
	Unknown                         int
}

// check wants everything to have gone well, and this many tools.
func (e *everythingSeen) check(t *testing.T, tools int) {
	t.Helper()
	if len(e.Tools) != tools || !slices.Contains(e.Tools, "get-roots-list") {
		t.Errorf("%d tools: %q, want %d", len(e.Tools), e.Tools, tools)
	}
	if want := []int{1, 2, 3}; !slices.Equal(e.Progress, want) {
		t.Errorf("progress: %d, want %d", e.Progress, want)
	}
	if want := []string{"Sales", "Support"}; !slices.Equal(e.Completed, want) {
		t.Errorf("completion: %q, want %q", e.Completed, want)
	}
	for what, pair := range map[string][2]string{
		"server":           {e.Server, "mcp-servers/everything"},
		"echo":             {e.Echo, "Echo: grüß dich"},
		"logging":          {e.Logged, "SessionId"}, // of any level
		"sampling":         {e.Sampled, "the sampled answer"},
		"elicitation":      {e.Elicited, "Name: Ada Lovelace"},
		"roots":            {e.Roots, "file:///first"},
		"roots, later":     {e.RootsLater, "file:///second"},
		"cancelled call":   {e.Cancelled, "enough"},
		"call after that":  {e.After, "Echo: still here"},
		"unknown method":   {fmt.Sprint(e.Unknown), "-32601"},
		"updated":          {fmt.Sprint(e.Updated), "true"},
		"prompt, resource": {fmt.Sprint(e.Prompt, e.Read), "1 1"},
	} {
		if !strings.Contains(pair[0], pair[1]) {
			t.Errorf("%s: %q, want %q", what, pair[0], pair[1])
		}
	}
}

// wantCancelled checks that one call was cancelled upstream, by its id.
func wantCancelled(t *testing.T, m *mortal) {
	t.Helper()
	type call struct {
		ID     json.RawMessage
		Params struct {
			RequestID json.RawMessage
			Arguments struct{ Duration float64 }
		}
	}
	find := func(method string, is func(call) bool) (found []call) {
		for _, msg := range m.all("e2e", func(m message) bool { return m.method == method }) {
			var c call
			if json.Unmarshal([]byte(msg.body), &c) == nil && is(c) {
				found = append(found, c)
			}
		}
		return found
	}
	long := find("tools/call", func(c call) bool { return c.Params.Arguments.Duration == 60 })
	cancelled := find("notifications/cancelled", func(call) bool { return true })
	if len(long) != 1 || len(cancelled) != 1 || string(cancelled[0].Params.RequestID) != string(long[0].ID) {
		t.Errorf("cancelled: %+v, of the calls %+v", cancelled, long)
	}
}

// TestStdioServesTheInspector: what people look at a server with, on the command
// line and with the configuration that it shares with many clients.
func TestStdioServesTheInspector(t *testing.T) {
	t.Parallel()
	thorough(t)
	n := needNode(t)
	_, u, s := remote(t, n, "streamableHttp")
	env := map[string]string{}
	for _, kv := range s.env {
		name, value, _ := strings.Cut(kv, "=")
		env[name] = value
	}
	b, err := json.Marshal(map[string]any{"mcpServers": map[string]any{
		"remote": map[string]any{"command": s.program, "args": bridge(u.url + "/mcp"), "env": env},
	}})
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	config := filepath.Join(home, "mcp.json")
	writeFile(t, config, string(b))
	c := client{dir: home, env: []string{"HOME=" + home, "MCP_INSPECTOR_SECRET_STORE=memory"}}
	main := filepath.Join(n.modules, "@modelcontextprotocol", "inspector", "clients", "launcher", "build", "index.js")
	inspect := func(args ...string) (r struct {
		Tools    []struct{ Name string }
		Contents []struct{ Text string }
		Content  []struct{ Text string }
	}) {
		out, errs := c.run(t, n.program, append([]string{main, "--cli", "--config", config, "--server", "remote"}, args...)...)
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Errorf("%q: %v\n%s%s", args, err, out, errs)
		}
		return r
	}
	if r := inspect("--method", "tools/list"); len(r.Tools) < 12 || r.Tools[0].Name != "echo" {
		t.Errorf("tools: %v", r.Tools)
	}
	if r := inspect("--method", "tools/call", "--tool-name", "echo", "--tool-arg", "message=hello"); len(r.Content) != 1 || r.Content[0].Text != "Echo: hello" {
		t.Errorf("the tool said %v", r.Content)
	}
	if r := inspect("--method", "resources/read", "--uri", "demo://resource/static/document/features.md"); len(r.Contents) != 1 || r.Contents[0].Text == "" {
		t.Errorf("the resource is %v", r.Contents)
	}
	u.wantGuarded(t)
	if len(u.to("/mcp")) == 0 || !slices.ContainsFunc(u.to("/mcp"), func(v visit) bool { return v.method == http.MethodDelete }) {
		t.Error("no session was ended")
	}
}
