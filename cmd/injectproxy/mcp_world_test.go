package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode"
)

// mcpRule is a rule of kind mcp for audience a.
func mcpRule(prefix string, more ...string) string {
	return rule(prefix, append(more, `kind = "mcp"`)...)
}

// callTool is a JSON-RPC request with the given id.
func callTool(id string) string {
	return `{"jsonrpc":"2.0","id":` + id + `,"method":"tools/call","params":{"name":"echo","arguments":{"id":"inner"}}}`
}

// post sends a JSON-RPC message as MCP clients do.
func post(t testing.TB, c *http.Client, target, message string) reply {
	t.Helper()
	return postBody(t, c, target, strings.NewReader(message))
}

func postBody(t testing.TB, c *http.Client, target string, body io.Reader) reply {
	t.Helper()
	return call(t, c, "POST", target, body, "Content-Type", "application/json", "Accept", streamable)
}

// streamable is what clients of Streamable HTTP accept.
const streamable = "application/json, text/event-stream"

// explained reads r, which has to be the error of the JSON-RPC request with the
// given id in place of an answer with the given status, and holds what is true
// of all of them.
func (r reply) explained(t testing.TB, id string, status int) (message string, p problemDocument) {
	t.Helper()
	r.wantStatus(t, http.StatusOK)
	if !strings.HasPrefix(r.body, `{"jsonrpc":"2.0","id":`+id+`,"error":{`) {
		t.Errorf("not the error of request %.100s: %.300s", id, r.body)
	}
	var got struct {
		Error struct {
			Code    int
			Message string
			Data    problemDocument
		}
	}
	if err := json.Unmarshal([]byte(r.body), &got); err != nil {
		t.Errorf("%v: %.300s", err, r.body)
	}
	message, p = got.Error.Message, got.Error.Data
	if got.Error.Code != -32016 || p.Status != status || p.Error != nil || p.Type == "" {
		t.Errorf("code %d, problem %+v, want one of status %d", got.Error.Code, p, status)
	}
	for _, part := range []string{p.Title, strings.TrimSuffix(p.Detail, "."), p.Hint} {
		if part == "" || !strings.Contains(message, part) {
			t.Errorf("%q does not say %q", message, part)
		}
	}
	if strings.ContainsFunc(message, unicode.IsControl) {
		t.Errorf("more than one line: %q", message)
	}
	for name, want := range map[string]string{"Content-Type": "application/json", "Cache-Control": "no-store", "Www-Authenticate": ""} {
		if value := r.header.Get(name); value != want {
			t.Errorf("%s: %q, want %q", name, value, want)
		}
	}
	if !strings.HasPrefix(r.header.Get("Proxy-Status"), "injectproxy; ") {
		t.Errorf("Proxy-Status %q", r.header.Get("Proxy-Status"))
	}
	return message, p
}
