package e2e_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

// gateHost is a gate that clients of a world know by name.
const gateHost = "gate.corp.test"

// gate starts a gate under its name, with the world's certificate.
func (w *world) gate(o gateOptions) *gated {
	w.t.Helper()
	o.at, o.public, o.cert, o.caFile = newRelay(w.t), "https://"+gateHost, w.cert, w.caFile
	g := gate(w.t, o)
	w.place(gateHost+":443", g.address)
	return g
}

// TestProxyAndGateCarryASession: the whole way of a client without a token. The
// proxy gets one for the API that the gate stands for, the gate takes it off
// again, and the server knows of nothing. The authority then signs with another
// key and withdraws the one before: as soon as the gate has heard of that it
// refuses the token at hand, and the proxy gets another before the client
// notices.
func TestProxyAndGateCarryASession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.gate(gateOptions{routes: greeting(t, scopeUse), check: func(log string) {
		if !strings.Contains(log, "status=401") {
			t.Error("the gate refused nothing")
		}
	}})
	p := w.serve(options{
		rules: `
[entra]
authority_host = "` + g.entra.URL() + `"
disable_instance_discovery = true
[audience.api]
client_id = "` + api + `"
tenant = "` + tenant + `"
[[rule]]
prefix = "` + g.url + `/mcp"
kind = "mcp"
audience = "api"
`,
		env:    []string{"AZURE_TENANT_ID=" + tenant, "AZURE_CLIENT_ID=" + app, "AZURE_CLIENT_SECRET=" + appSecret},
		trust:  []string{g.authorityFile(t)},
		hidden: []string{appSecret, "eyJ"},
	})
	client := mcp.NewClient(&mcp.Implementation{Name: "e2e", Version: "1"}, nil)
	session, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: g.url + "/mcp", HTTPClient: p.client(t, "h2")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	tokens := func() int { return g.entra.Count(entratest.Request{Endpoint: entratest.TokenEndpoint}) }
	greets := func(when string) {
		t.Helper()
		if got, err := said(session.CallTool(t.Context(), &mcp.CallToolParams{Name: "greet"})); got != "hello" {
			t.Errorf("%s the tool said %q (%v)", when, got, err)
		}
	}
	greets("at first")
	if got, err := said(session.CallTool(t.Context(), &mcp.CallToolParams{Name: "export"})); err == nil || !strings.Contains(err.Error(), "only users can have") {
		t.Errorf("the tool for users said %q (%v)", got, err)
	}
	if n := tokens(); n != 1 {
		t.Errorf("%d tokens were taken, want one", n)
	}
	if err := g.entra.RotateKey(); err != nil {
		t.Fatal(err)
	}
	g.entra.RetireKeys()
	// Another's token has the gate look at the keys.
	if got, status := g.post(t, g.user(t, bob, scopeUse), listTools); status != http.StatusOK {
		t.Errorf("a token by the new key: %d %s", status, got)
	}
	greets("after the key was withdrawn")
	if n := tokens(); n != 2 {
		t.Errorf("%d tokens were taken, want two", n)
	}
}

// TestInsufficientScopePassesTheProxyUnharmed: what the gate says to a user's
// token that lacks a scope is for the client, which alone can get another. The
// proxy sends nothing twice for it.
func TestInsufficientScopePassesTheProxyUnharmed(t *testing.T) {
	t.Parallel()
	w, file := newWorld(t), newGateway(t)
	g := w.gate(gateOptions{routes: greeting(t, scopeUse), check: func(log string) {
		if n := strings.Count(log, "reason=scope"); n != 2 {
			t.Errorf("%d requests reached the gate, want two", n)
		}
	}})
	writeFile(t, file.file, g.user(t, ada, scopeUse)+"\n")
	p := w.serve(options{rules: file.rules(`kind = "mcp"`, g.url+"/mcp"), hidden: []string{"eyJ"}})
	for _, protocol := range []string{"h1", "h2"} {
		r := mcpRequest(t, http.MethodPost, g.url+"/mcp", callOf("export"))
		res, err := p.client(t, protocol).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		var body struct {
			ID    int
			Error struct{ Message string }
		}
		if err := json.NewDecoder(res.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		res.Body.Close()
		challenge := strings.Join(res.Header["Www-Authenticate"], "|")
		for _, want := range []string{`Bearer error="insufficient_scope"`, `/` + scopeUse, `/` + scopeMore, `resource_metadata="` + g.url + `/.well-known/oauth-protected-resource/mcp"`} {
			if !strings.Contains(challenge, want) {
				t.Errorf("%s: the challenge is %q, want %q in it", protocol, challenge, want)
			}
		}
		if res.StatusCode != http.StatusForbidden || body.ID != 7 || body.Error.Message == "" {
			t.Errorf("%s: status %d, %+v", protocol, res.StatusCode, body)
		}
	}
}
