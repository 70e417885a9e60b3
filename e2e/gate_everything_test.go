package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// decided is a route to the reference server at url: of its tools get-env is
// only for those who have a role, the others are for users with a scope, and so
// are resources and prompts.
func decided(url string) string {
	return fmt.Sprintf(`
[[route]]
path = "/mcp"
upstream = [%q]
scopes = [%q]
[route.tools]
"*" = { scopes = [%[2]q] }
get-env = { roles = [%[3]q] }
[route.resources]
"demo://*" = { scopes = [%[2]q] }
[route.prompts]
"*" = {}
args-prompt = { roles = [%[3]q] }
`, url, scopeUse, roleUse)
}

// behindGate is the reference server behind a gate, and what reached it.
func behindGate(t *testing.T, n node) (*gated, *mortal) {
	t.Helper()
	m := newMortal(t, n)
	s := httptest.NewServer(innocent(t, m))
	t.Cleanup(s.Close)
	return gate(t, gateOptions{routes: decided(s.URL)}), m
}

// TestReferenceServerIsWholeBehindTheGate: the TypeScript SDK's clients use each
// thing that the reference server has, most of which speaks of its own accord: on
// the stream of a request, on the one that is open all the time, in notifications,
// and in requests of its own. Each message is judged on the way, and of the lists
// one tool is missing.
func TestReferenceServerIsWholeBehindTheGate(t *testing.T) {
	t.Parallel()
	thorough(t)
	n := needNode(t)
	for _, tt := range []struct{ sdk, mode string }{{"1", "legacy"}, {"2", "legacy"}, {"2", "auto"}} {
		t.Run(tt.sdk+" "+tt.mode, func(t *testing.T) {
			t.Parallel()
			g, m := behindGate(t, n)
			c := g.node(t, "E2E_TOKEN="+g.user(t, ada, scopeUse))
			out, errs := c.run(t, n.program, n.script(t, "stdio-everything.mjs"), tt.sdk, tt.mode, g.url+"/mcp")
			var got everythingSeen
			if err := json.Unmarshal([]byte(out), &got); err != nil {
				t.Fatalf("the client said %q: %v\n%s", out, err, errs)
			}
			got.check(t, 15)
			if slices.Contains(got.Tools, "get-env") {
				t.Error("the client was shown a tool that it may not call")
			}
			wantCancelled(t, m)
		})
	}
}

// TestClientsBeginAnewOnceTheServerBehindTheGateIsAnother: the server is replaced
// by one that knows no session. Its clients hear so from the gate, and do what
// the specification wants of them.
func TestClientsBeginAnewOnceTheServerBehindTheGateIsAnother(t *testing.T) {
	t.Parallel()
	thorough(t)
	for _, sdk := range []string{"1", "2"} {
		t.Run("SDK "+sdk, func(t *testing.T) {
			t.Parallel()
			n := needNode(t)
			g, m := behindGate(t, n)
			c := g.node(t, "SESSION_RENEWS=1", "E2E_TOKEN="+g.user(t, ada, scopeUse))
			name := "agent-" + sdk
			s := c.session(t, name, n.program, n.script(t, "session.mjs"), g.url+"/mcp", name, sdk)
			if err := s.must(command{Do: "connect"}, echoes("before", 3)); err != nil {
				t.Fatal(err)
			}
			m.replace()
			// This server says 400, which to a client is no more than the failure of one
			// call. The gate knows better, and says 404.
			if err := s.must(echoes("after", 1), echoes("again", 3)); err != nil {
				t.Error(err)
			}
			if began := len(m.all(name, func(m message) bool { return m.method == "initialize" })); began != 2 {
				t.Errorf("%d initialize arrived, want 2", began)
			}
		})
	}
}

// TestInspectorSeesWhatItsTokenMayHave: what people look at a server with, with
// the token in a header of its configuration.
func TestInspectorSeesWhatItsTokenMayHave(t *testing.T) {
	t.Parallel()
	thorough(t)
	n := needNode(t)
	g, _ := behindGate(t, n)
	main := n.modules + "/@modelcontextprotocol/inspector/clients/launcher/build/index.js"
	c := g.node(t, "MCP_INSPECTOR_SECRET_STORE=memory")
	c.dir = t.TempDir()
	c.env = append(c.env, "HOME="+c.dir)
	inspect := func(args ...string) (r struct {
		Tools   []struct{ Name string }
		Prompts []struct{ Name string }
		Content []struct{ Text string }
	}, failure string) {
		args = append([]string{main, "--cli", g.url + "/mcp", "--transport", "http", "--header", "Authorization: Bearer " + g.user(t, ada, scopeUse)}, args...)
		out, errs, err := c.try(t, n.program, args...)
		if err != nil {
			return r, out + errs
		}
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Errorf("%q: %v\n%s%s", args, err, out, errs)
		}
		return r, ""
	}
	r, failure := inspect("--method", "tools/list")
	if len(r.Tools) < 11 || slices.ContainsFunc(r.Tools, func(tool struct{ Name string }) bool { return tool.Name == "get-env" }) {
		t.Errorf("tools: %v %s", r.Tools, failure)
	}
	if r, failure := inspect("--method", "prompts/list"); len(r.Prompts) != 3 {
		t.Errorf("prompts: %v %s", r.Prompts, failure)
	}
	if r, failure := inspect("--method", "tools/call", "--tool-name", "echo", "--tool-arg", "message=hello"); len(r.Content) != 1 || r.Content[0].Text != "Echo: hello" {
		t.Errorf("the tool said %v %s", r.Content, failure)
	}
	if _, failure := inspect("--method", "tools/call", "--tool-name", "get-env"); !strings.Contains(failure, "not found") {
		t.Errorf("the denied tool: %s, want that there is none", failure)
	}
}

// TestOpencodeCallsThroughTheGate: an agent as people run it, with the token in
// its configuration. Its model calls one tool, which the server behind the gate
// answers.
func TestOpencodeCallsThroughTheGate(t *testing.T) {
	t.Parallel()
	thorough(t)
	n := needNode(t)
	program := n.opencode(t)
	g, _ := behindGate(t, n)
	llm := &model{tool: "everything_echo", will: make(chan struct{}, 10), may: make(chan struct{})}
	close(llm.may)
	models := httptest.NewServer(llm)
	t.Cleanup(models.Close)
	c := agent(t, models.URL+"/v1", fmt.Sprintf(`"url": %q, "headers": {"Authorization": "Bearer %s"}`, g.url+"/mcp", g.user(t, ada, scopeUse)))
	c.env = append(c.env, g.node(t).env...)
	c.run(t, program, "run", "--pure", "--auto", "--print-logs", "call echo")
	if !strings.Contains(llm.told, "Echo: again") {
		t.Errorf("the tool answered %q", llm.told)
	}
	for _, tool := range llm.tools {
		if strings.HasSuffix(tool, "get-env") || strings.HasSuffix(tool, "get_env") {
			t.Errorf("the model was told of %s, which the agent may not call", tool)
		}
	}
	if len(llm.tools) == 0 {
		t.Error("the model was told of no tools")
	}
}
