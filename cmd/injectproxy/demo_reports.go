package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// serveReports is the MCP server behind the gate. It has no sessions. That it is
// behind one it does not know: it admits tokens for its own API, as ever.
func (w *demoWorld) serveReports(s *demoServer, rw http.ResponseWriter, r *http.Request) {
	var call demoCall
	if r.Method != http.MethodPost || json.NewDecoder(r.Body).Decode(&call) != nil {
		http.Error(rw, "POST a JSON-RPC message", http.StatusMethodNotAllowed)
		return
	}
	switch call.Method {
	case "initialize":
		call.answer(rw, map[string]any{
			"protocolVersion": demoVersion, "serverInfo": map[string]any{"name": "reports", "version": "1"},
			"capabilities": map[string]any{"tools": map[string]any{}},
		})
	case "tools/list":
		var tools []any
		for _, name := range demoTools {
			tools = append(tools, map[string]any{"name": name, "inputSchema": map[string]any{"type": "object"}})
		}
		call.answer(rw, map[string]any{"tools": tools})
	case "tools/call":
		call.answer(rw, map[string]any{"content": []any{map[string]any{"type": "text", "text": w.reportsCaller(r, s.audience)}}})
	default:
		http.Error(rw, "unknown method", http.StatusBadRequest)
	}
}

// demoTools are the tools of the server behind the gate.
var demoTools = []string{"whoami", "delete_reports"}

// reportsCaller is the user that a request's token was issued for.
func (w *demoWorld) reportsCaller(r *http.Request, audience string) string {
	claims, err := w.entra.Validate(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), audience)
	if err != nil {
		return "unknown"
	}
	return fmt.Sprint(claims["preferred_username"])
}

// demoAnswer is what a client reads of an answer.
type demoAnswer struct {
	status int
	Result struct {
		Tools   []struct{ Name string }
		Content []struct{ Text string }
	}
	Error *struct {
		Code    int
		Message string
	}
}

// text is what a tool has said.
func (a *demoAnswer) text() string {
	if len(a.Result.Content) == 0 {
		return ""
	}
	return a.Result.Content[0].Text
}

// tools are the names of those that are there.
func (a *demoAnswer) tools() (names []string) {
	for _, t := range a.Result.Tools {
		names = append(names, t.Name)
	}
	return names
}

// ask sends one message through the gate. There may be no answer to read in what
// comes back with a status of an error.
func (w *demoWorld) ask(ctx context.Context, through *http.Client, method string, params any) (*demoAnswer, http.Header, error) {
	message, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		return nil, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.gateURL, bytes.NewReader(message))
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	res, err := through.Do(req)
	if err != nil {
		return nil, nil, err
	}
	status, body, err := read(res, nil)
	if err != nil {
		return nil, nil, err
	}
	a := &demoAnswer{status: status}
	err = json.Unmarshal([]byte(body), a)
	return a, res.Header, expect(nil, err == nil || status != http.StatusOK, "%s was answered with %q", method, body)
}

// tool calls one.
func (w *demoWorld) tool(ctx context.Context, name string) (*demoAnswer, error) {
	a, _, err := w.ask(ctx, w.through, "tools/call", map[string]any{"name": name, "arguments": map[string]any{}})
	return a, err
}

// strangers returns how many of seen had something else than a token for the server
// that was issued to the gate for the user: the user's own, say, or none.
func (w *demoWorld) strangers(seen []demoRequest) (n int) {
	for _, r := range seen {
		claims, err := w.entra.Validate(r.bearer, w.reports.audience)
		if err != nil || claims["oid"] != demoUser.ObjectID || claims["azp"] != demoGate {
			n++
		}
	}
	return n
}
