package main

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

// newToolServer starts a server of the Go SDK with the tool echo, for tokens of
// the authority.
func newToolServer(t *testing.T, a *entratest.Authority, kind string) (root string) {
	t.Helper()
	s := mcp.NewServer(&mcp.Implementation{Name: "tools", Version: "1"}, nil)
	mcp.AddTool(s, &mcp.Tool{Name: "echo"}, func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "served"}}}, nil, nil
	})
	sdk := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s }, &mcp.StreamableHTTPOptions{
		DisableLocalhostProtection: true,
	})
	t.Cleanup(func() {
		for session := range s.Sessions() {
			session.Close()
		}
	})
	return newLive(t, kind, func(w http.ResponseWriter, r *http.Request) {
		bearer := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		_, one := a.Validate(bearer, apiOne)
		_, two := a.Validate(bearer, apiTwo)
		if one != nil && two != nil {
			challenge(w)
			return
		}
		sdk.ServeHTTP(w, r)
	})
}

// A session of the Go SDK ends with the first message whose refusal it does not
// understand; here somebody has to sign in in the middle of one.
func TestGoSessionSurvivesThatASignInIsNeeded(t *testing.T) {
	a := newIdentity(t)
	for _, version := range []string{"2025-11-25", "2026-07-28"} {
		for _, proto := range []string{"h1", "h2"} {
			t.Run(version+" "+proto, func(t *testing.T) {
				root := newToolServer(t, a, proto)
				of := func(audience string) settings {
					return settings{entra: a, tables: entraAudiences + strings.Replace(mcpRule(root+"/"), `"a"`, `"`+audience+`"`, 1)}
				}
				b := newTestbed(t, of("a"))
				client := mcp.NewClient(&mcp.Implementation{Name: "agent", Version: "1"}, nil)
				c, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: root + "/mcp", HTTPClient: b.client(proto)},
					&mcp.ClientSessionOptions{ProtocolVersion: version})
				must(t, err)
				defer c.Close()
				works := func() {
					t.Helper()
					res, err := c.CallTool(t.Context(), &mcp.CallToolParams{Name: "echo"})
					must(t, err)
					if text, ok := res.Content[0].(*mcp.TextContent); !ok || text.Text != "served" {
						t.Fatalf("%+v", res)
					}
				}
				works()

				needed := a.Fail(failing(apiTwo, entratest.AADSTS(50076)))
				defer needed()
				b.reconfigure(of("b"))
				if err := c.NotifyProgress(t.Context(), &mcp.ProgressNotificationParams{ProgressToken: "p"}); err == nil || !strings.Contains(err.Error(), "az login") {
					t.Errorf("the notification: %v", err)
				}
				if _, err := c.CallTool(t.Context(), &mcp.CallToolParams{Name: "echo"}); err == nil || !strings.Contains(err.Error(), "az login") {
					t.Errorf("the call: %v", err)
				}

				needed()
				b.signedIn()
				works()
			})
		}
	}
}
