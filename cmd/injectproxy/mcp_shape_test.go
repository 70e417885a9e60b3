package main

import (
	"io"
	"net/http"
	"strings"
	"testing"

	gosdk "github.com/modelcontextprotocol/go-sdk/jsonrpc"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

// shape is one way of saying something to an MCP server, and what an answer of
// the proxy's own to it looks like.
type shape struct {
	name, method, body string
	header             []string // besides those that every client sends
	id                 string   // of the request that is answered, "" for the plain status
	unasked            bool     // a message that wants no response
}

// messageShapes are all that clients of either era send, and what none should.
var messageShapes = []shape{
	{name: "request", body: callTool("7"), id: "7"},
	{name: "request in a session", body: callTool(`"s"`), id: `"s"`, header: []string{"Mcp-Session-Id", "not-ours", "MCP-Protocol-Version", "2025-11-25"}},
	{name: "request without sessions", body: callTool("8"), id: "8", header: []string{
		"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "echo"}},
	{name: "server/discover", body: `{"jsonrpc":"2.0","id":9,"method":"server/discover","params":{}}`, id: "9", header: []string{
		"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "server/discover"}},
	{name: "request of a client that waits for 100", body: callTool("10"), id: "10", header: []string{"Expect", "100-continue"}},
	{name: "initialize", body: demoInitialize, id: "1"},
	{name: "notification", body: `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}`, unasked: true},
	{name: "response", body: `{"jsonrpc":"2.0","id":3,"result":{}}`, unasked: true},
	{name: "error", body: `{"jsonrpc":"2.0","id":"x","error":{"code":-1,"message":"declined"}}`, unasked: true},
	{name: "batch", body: "[" + callTool("1") + "," + callTool("2") + "]"},
	{name: "mixed batch", body: "[" + callTool("1") + `,{"jsonrpc":"2.0","method":"n"},{"jsonrpc":"2.0","id":3,"result":{}}]`},
	{name: "batch of notifications", body: `[{"jsonrpc":"2.0","method":"n"}]`},
	{name: "empty batch", body: "[]"},
	{name: "broken", body: `{"jsonrpc":`},
	{name: "too long", body: callTool("1") + strings.Repeat(" ", mostGlimpse)},
	{name: "compressed", body: "\x1f\x8b\x08", header: []string{"Content-Encoding", "gzip"}},
	{name: "HTTP+SSE", body: callTool("1"), header: []string{"Accept", "text/event-stream"}},
	{name: "any type", body: callTool("1"), header: []string{"Accept", "*/*"}},
	{name: "stream", method: "GET", header: []string{"Accept", "text/event-stream"}},
	{name: "stream that is resumed", method: "GET", header: []string{"Accept", "text/event-stream", "Mcp-Session-Id", "not-ours", "Last-Event-ID", "4"}},
	{name: "end of a session", method: "DELETE", header: []string{"Mcp-Session-Id", "not-ours"}},
}

// sent sends s and returns what came back.
func (s shape) sent(t *testing.T, c *http.Client, target string) reply {
	t.Helper()
	method, body := "POST", io.Reader(strings.NewReader(s.body))
	if s.method != "" {
		method, body = s.method, nil
	}
	header := append([]string{"Content-Type", "application/json"}, s.header...)
	if !strings.Contains(strings.Join(s.header, " "), "Accept") {
		header = append(header, "Accept", streamable)
	}
	return call(t, c, method, target, body, header...)
}

// trouble is something that makes the proxy answer by itself.
type trouble struct {
	status   int
	kind     string // of the problem
	final    bool
	explains bool // requests get the answer as a JSON-RPC error
	target   func(t *testing.T, upstream string) (tables, target string)
	failure  *entratest.Failure
}

// want holds what the contract says of r, which answers s.
func (x trouble) want(t *testing.T, s shape, r reply) {
	t.Helper()
	if r.header["Www-Authenticate"] != nil || r.status == http.StatusUnauthorized {
		t.Errorf("a client begins a sign-in of its own: %d %v", r.status, r.header)
	}
	if got := r.header.Get("X-Should-Retry"); (got == "false") != x.final {
		t.Errorf("x-should-retry %q", got)
	}
	if got := r.header.Get("Retry-After"); (got != "") != (x.status == http.StatusServiceUnavailable) {
		t.Errorf("Retry-After %q", got)
	}
	if x.explains && s.id != "" {
		if _, p := r.explained(t, s.id, x.status); p.Type != "urn:injectproxy:problem:"+x.kind {
			t.Errorf("%+v", p)
		}
		return
	}
	p := r.problem(t, x.status)
	if p.Type != "urn:injectproxy:problem:"+x.kind || p.Title == "" || x.final && p.Hint == "" {
		t.Errorf("%+v", p)
	}
	message, err := gosdk.DecodeMessage([]byte(r.body))
	if !x.explains || !s.unasked {
		if err == nil {
			t.Errorf("it is an answer to somebody: %s", r.body)
		}
		return
	}
	// The Go SDK ends the session after any other 511.
	response, ok := message.(*gosdk.Response)
	if err != nil || !ok || response.Error == nil || !strings.Contains(response.Error.Error(), p.Hint) {
		t.Errorf("the Go SDK does not read it as an error: %v: %s", err, r.body)
	}
}

// mcpTroubles are the troubles that a request meets behind the tunnel.
func mcpTroubles() map[string]trouble {
	served := func(t *testing.T, upstream string) (string, string) {
		o := newOrigin(t, upstream, nil, "api.example.test")
		t.Cleanup(func() { o.nothing(t) })
		return mcpRule(o.url("/")), o.url("/mcp")
	}
	fails := func(f entratest.Failure) *entratest.Failure { f = failing(apiOne, f); return &f }
	return map[string]trouble{
		"sign-in":       {status: 511, kind: "sign-in-needed", final: true, explains: true, target: served, failure: fails(entratest.AADSTS(50076))},
		"misconfigured": {status: 502, kind: "token-misconfigured", final: true, explains: true, target: served, failure: fails(entratest.AADSTS(500011))},
		"policy":        {status: 502, kind: "token-refused", final: true, explains: true, target: served, failure: fails(entratest.AADSTS(53003))},
		"Entra busy":    {status: 503, kind: "identity-unavailable", target: served, failure: fails(entratest.Failure{Status: 503})},
		"refused token": {status: 502, kind: "token-rejected", final: true, explains: true, target: func(t *testing.T, upstream string) (string, string) {
			o := newOrigin(t, upstream, refusing, "api.example.test")
			return mcpRule(o.url("/")), o.url("/mcp")
		}},
		"unknown host": {status: 502, kind: "upstream-unknown", target: func(*testing.T, string) (string, string) {
			return mcpRule("https://gone.example.invalid/"), "https://gone.example.invalid/mcp"
		}},
		"slow": {status: 504, kind: "upstream-timeout", target: func(t *testing.T, upstream string) (string, string) {
			root := newLive(t, upstream, func(_ http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				<-r.Context().Done()
			})
			return mcpRule(root+"/", `timeout = "50ms"`), root + "/mcp"
		}},
	}
}

func TestOwnAnswersToMCPHaveTheShapeThatClientsSurvive(t *testing.T) {
	asTestClient(t)
	for name, x := range mcpTroubles() {
		for _, recover := range []string{"heal", "normalise"} {
			t.Run(name+" "+recover, func(t *testing.T) {
				t.Parallel()
				a := startIdentity(t)
				if x.failure != nil {
					a.Fail(*x.failure)
				}
				for _, proto := range []string{"h1", "h2"} {
					tables, target := x.target(t, proto)
					b := newTestbed(t, settings{entra: a, tables: entraAudiences + tables + "recover = \"" + recover + "\"\n"})
					c := b.client(proto)
					for _, s := range messageShapes {
						t.Run(s.name+" "+proto, func(t *testing.T) { x.want(t, s, s.sent(t, c, target)) })
					}
				}
			})
		}
	}
}
