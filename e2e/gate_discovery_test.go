package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

// discovered is what testdata/gate-discovery.mjs prints.
type discovered struct {
	Asked, Browsed            []string // METHOD PATH STATUS of the client, PATH STATUS of the browser
	Resource, BrowserResource string   // that it named, to the token endpoint and to the browser
	Scope, Client             string   // the last scope that the browser was sent for
	Text, Refusal, Error      string
	More, MoreError           string // of the tool that wants another scope
	Refreshed                 string // the call once the token was renewed
}

// TestTypeScriptClientDiscoversTheMetadataAndCalls: who knows nothing but the URL
// is told by a 401 where the metadata is, and by that where the authority is; it
// registers with the gate, sends its user to the authority, and ends with a call
// that works. That it names a resource, which the authority refuses, is seen to by
// the gate. A token that has ended is renewed without the user.
func TestTypeScriptClientDiscoversTheMetadataAndCalls(t *testing.T) {
	t.Parallel()
	thorough(t)
	n := needNode(t)
	for _, sdk := range []string{"1", "2"} {
		t.Run("SDK "+sdk, func(t *testing.T) {
			t.Parallel()
			g := gate(t, gateOptions{table: shim, routes: greeting(t, scopeUse)})
			g.entra.Browse(ada)
			got := g.discover(t, n, sdk)
			got.wantCall(t)
			if got.Client != app {
				t.Errorf("the client was registered as %q, want %q", got.Client, app)
			}
			if want := g.url + "/mcp"; got.Resource != want || got.BrowserResource != want {
				t.Errorf("the client named the resource %q, and %q to the browser: this test is about one that names %s", got.Resource, got.BrowserResource, want)
			}
			if got.Refreshed != "hello" {
				t.Errorf("after the token's end the call said %q", got.Refreshed)
			}
			inOrder(t, got.Asked, "POST /mcp 401", "GET /.well-known/oauth-protected-resource/mcp 200",
				"GET /.well-known/oauth-authorization-server 200", "POST /register 201", "POST /token 200", "POST /mcp 200",
				"POST /mcp 401", "POST /token 200", "POST /mcp 200")
			inOrder(t, got.Browsed, "/authorize 302", "/"+tenant+"/oauth2/v2.0/authorize 302")
		})
	}
}

// TestTypeScriptClientGetsTheScopeThatAToolWants: a client that is told which
// scopes a tool wants has its user asked for them, and calls again. The older
// SDK tries its refresh token first, which brings the same scopes as before, and
// gives up: to such clients a route has to name the scopes of its tools as well,
// so that they are asked for at the start.
func TestTypeScriptClientGetsTheScopeThatAToolWants(t *testing.T) {
	t.Parallel()
	thorough(t)
	n := needNode(t)
	for _, tt := range []struct {
		sdk     string
		scopes  []string // of the route
		refused int      // calls
		fails   string
	}{
		{"2", []string{scopeUse}, 1, ""},
		{"1", []string{scopeUse}, 2, "Server returned 403 after trying upscoping"},
		{"1", []string{scopeUse, scopeMore}, 0, ""},
	} {
		t.Run(fmt.Sprint("SDK ", tt.sdk, ", route with ", tt.scopes), func(t *testing.T) {
			t.Parallel()
			g := gate(t, gateOptions{table: shim, routes: greeting(t, tt.scopes...)})
			g.entra.Browse(ada)
			got := g.discover(t, n, tt.sdk)
			got.wantCall(t)
			if refused := howMany(got.Asked, "POST /mcp 403"); refused != tt.refused {
				t.Errorf("%d calls were refused, want %d: %q", refused, tt.refused, got.Asked)
			}
			if tt.fails != "" {
				if !strings.Contains(got.MoreError, tt.fails) {
					t.Errorf("the tool said %q (%s), want %s", got.More, got.MoreError, tt.fails)
				}
				return
			}
			if got.More != "all of it" || !strings.Contains(got.Scope, "/"+scopeUse) || !strings.Contains(got.Scope, "/"+scopeMore) {
				t.Errorf("the tool said %q (%s), and the user was asked for %q", got.More, got.MoreError, got.Scope)
			}
		})
	}
}

// TestTypeScriptClientAsksEntraItself: without the shim the client, which has to be
// registered, goes to the authority itself and names the server as the resource.
// The authority takes that for an API whose App ID URI is the server's URL, and
// for no other: that is what the shim is for.
func TestTypeScriptClientAsksEntraItself(t *testing.T) {
	t.Parallel()
	thorough(t)
	n := needNode(t)
	for _, sdk := range []string{"1", "2"} {
		for name, named := range map[string]bool{"App ID URI of the server": true, "App ID URI of the client id": false} {
			t.Run("SDK "+sdk+", "+name, func(t *testing.T) {
				t.Parallel()
				at := newRelay(t)
				o := gateOptions{at: at, routes: greeting(t, scopeUse)}
				if named {
					server := "https://" + at.host + "/mcp"
					o.entra, o.table = directory(t, entratest.Options{}, server), fmt.Sprintf("app_id_uri = %q", server)
				}
				g := gate(t, o)
				g.entra.Browse(ada)
				got := g.discover(t, n, sdk, app)
				inOrder(t, got.Asked, "POST /mcp 401", "GET /.well-known/oauth-protected-resource/mcp 200",
					"GET /"+tenant+"/v2.0/.well-known/openid-configuration 200")
				if !named {
					if !strings.Contains(got.Refusal, "AADSTS9010010") || got.Text != "" {
						t.Errorf("the authority said %q, and the call %q (%s), want AADSTS9010010", got.Refusal, got.Text, got.Error)
					}
					return
				}
				got.wantCall(t)
				if got.More != "all of it" {
					t.Errorf("the tool that wants another scope said %q (%s)", got.More, got.MoreError)
				}
				inOrder(t, got.Asked, "POST /"+tenant+"/oauth2/v2.0/token 200", "POST /mcp 200", "POST /mcp 403", "POST /mcp 200")
			})
		}
	}
}

// shim is the table [entra] of a gate with a shim.
const shim = "shim = true\nshim_client = \"" + app + "\""

// wantCall wants the first call to have worked.
func (d *discovered) wantCall(t *testing.T) {
	t.Helper()
	if d.Text != "hello" || d.Error != "" || d.Refusal != "" {
		t.Errorf("the call said %q (%s%s)", d.Text, d.Error, d.Refusal)
	}
}

// howMany returns how often one is among all.
func howMany(all []string, one string) (n int) {
	for _, s := range all {
		if s == one {
			n++
		}
	}
	return n
}

// discover runs the client to its end.
func (g *gated) discover(t *testing.T, n node, args ...string) (got discovered) {
	t.Helper()
	out, errs := g.node(t).run(t, n.program, append([]string{n.script(t, "gate-discovery.mjs"), g.url + "/mcp"}, args...)...)
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("the client said %q: %v\n%s", out, err, errs)
	}
	t.Logf("asked %q, browsed %q, scope %q", got.Asked, got.Browsed, got.Scope)
	return got
}

// inOrder wants these among got, in this order.
func inOrder(t *testing.T, got []string, want ...string) {
	t.Helper()
	rest := want
	for _, g := range got {
		if len(rest) > 0 && g == rest[0] {
			rest = rest[1:]
		}
	}
	if len(rest) > 0 {
		t.Errorf("%q, want %q in this order", got, want)
	}
}

// greeting is a route, for callers with one of these scopes or the role, to a
// server with the tools greet, which all of them may call, and export, for
// which one needs another scope.
func greeting(t *testing.T, scopes ...string) (routes string) {
	t.Helper()
	return fmt.Sprintf(`
[[route]]
path = "/mcp"
upstream = [%q]
scopes = ["%s"]
roles = [%q]
[route.tools]
greet = {}
export = { scopes = [%q] }
`, greeter(t, nil), strings.Join(scopes, `", "`), roleUse, scopeMore)
}

// greeter starts that server and returns where it is.
func greeter(t *testing.T, o *mcp.StreamableHTTPOptions) string {
	t.Helper()
	s := mcp.NewServer(&mcp.Implementation{Name: "greeter", Version: "1"}, nil)
	for name, says := range map[string]string{"greet": "hello", "export": "all of it", "hidden": "nobody hears this"} {
		mcp.AddTool(s, &mcp.Tool{Name: name}, func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: says}}}, nil, nil
		})
	}
	if o == nil {
		o = &mcp.StreamableHTTPOptions{DisableLocalhostProtection: true}
	}
	h := httptest.NewServer(innocent(t, mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s }, o)))
	t.Cleanup(func() {
		for session := range s.Sessions() {
			session.Close()
		}
		h.Close()
	})
	return h.URL
}
