package e2e_test

//lint:file-ignore SA1019 the versions with sessions have sampling and roots

import (
	"fmt"
	"slices"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// TestBothErasPassTheGateWithTheGoSDK: a client of each era, and a server with
// sessions and one without, over HTTP/2 and TLS, where each message is judged and
// one tool is not for the caller. What the server asks the client for comes as a
// request in the one era, and as the result of a call in the other.
func TestBothErasPassTheGateWithTheGoSDK(t *testing.T) {
	t.Parallel()
	thorough(t)
	for _, tt := range []struct {
		client, server string
		speaks         string // what the client is told that the server speaks
		does           []does
	}{
		{"2025-11-25", "-stateless=false", "2025-11-25", asked()},
		{"2026-07-28", "-stateless=true", "2026-07-28", returned()},
		{"2025-11-25", "-stateless=true", "2025-11-25", nil},
		{"2026-07-28", "-stateless=false", "", nil},
	} {
		t.Run(tt.client+" with "+tt.server, func(t *testing.T) {
			t.Parallel()
			g := gate(t, gateOptions{routes: fmt.Sprintf(`
[[route]]
path = "/mcp"
upstream = ["http://%s/"]
scopes = [%q]
[route.tools]
"test_*" = {}
"test_error_handling" = { roles = [%q] }
[route.resources]
"*" = {}
`, conformanceServer(t, tt.server), scopeUse, roleUse)})
			told := make(chan string, 1000)
			c := mcp.NewClient(&mcp.Implementation{Name: "e2e", Version: "1"}, answering(told))
			c.AddRoots(&mcp.Root{URI: "file:///work"})
			session, err := c.Connect(t.Context(), &mcp.StreamableClientTransport{
				Endpoint: g.url + "/mcp", HTTPClient: g.client(t, g.user(t, ada, scopeUse)),
			}, &mcp.ClientSessionOptions{ProtocolVersion: tt.client})
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close()
			wantEra(t, session, tt.speaks, told, tt.does)
			list, err := session.ListTools(t.Context(), nil)
			if err != nil || len(list.Tools) < 10 || slices.ContainsFunc(list.Tools, func(tool *mcp.Tool) bool { return tool.Name == "test_error_handling" }) {
				t.Errorf("tools: %+v, %v", list, err)
			}
			if got, err := said(session.CallTool(t.Context(), &mcp.CallToolParams{Name: "test_error_handling"})); err == nil {
				t.Errorf("the denied tool said %q", got)
			}
			if got, err := said(session.CallTool(t.Context(), &mcp.CallToolParams{Name: "test_simple_text"})); err != nil {
				t.Errorf("the next call: %q, %v", got, err)
			}
		})
	}
}
