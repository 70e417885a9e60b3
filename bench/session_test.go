package bench_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/replay"
	"github.com/injectproxy/injectproxy/internal/session"
	"github.com/injectproxy/injectproxy/internal/token"
)

const (
	sessionHeader = "Mcp-Session-Id"
	initialize    = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}`
	toolCall      = `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"search","arguments":{"query":"the words of an ordinary question","limit":10}}}`
)

// mcpServer begins every session that it is asked for and knows all of them.
type mcpServer struct{}

func (mcpServer) RoundTrip(req *http.Request) (*http.Response, error) {
	message, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	req.Body.Close()
	h := http.Header{"Content-Type": {"application/json"}}
	answer := `{"jsonrpc":"2.0","id":2,"result":{"content":[]}}`
	if string(message) == initialize {
		h.Set(sessionHeader, "a-session-of-a-benchmark")
		answer = `{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"bench","version":"1"}}}`
	}
	return &http.Response{StatusCode: http.StatusOK, Header: h, Body: io.NopCloser(strings.NewReader(answer)), ContentLength: int64(len(answer)), Request: req}, nil
}

// BenchmarkToolCall is an ordinary tools/call of a session that is well, through
// all layers of an MCP rule. What the session's own layer costs, and what in
// sessions that were lost, is measured in internal/session.
func BenchmarkToolCall(b *testing.B) {
	book, memory := session.NewBook(), replay.NewBudget(256<<20)
	defer book.Close()
	route := session.New(newRoute(b, mcpServer{}, newCache(b, new(issuer)), memory), session.Options{
		Book: book, BodyLimit: 1 << 20, Memory: memory, Light: time.Minute,
	})
	id, err := say(b, route, "", initialize)
	if err != nil || id == "" {
		b.Fatalf("session %q, %v", id, err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := say(b, route, id, toolCall); err != nil {
			b.Fatal(err)
		}
	}
}

// say posts a message and returns the session of its answer.
func say(b *testing.B, route http.RoundTripper, id, message string) (string, error) {
	req, err := http.NewRequestWithContext(token.WithUse(b.Context(), new(token.Use)), "POST", target, strings.NewReader(message))
	if err != nil {
		return "", err
	}
	req.Header = header()
	if id != "" {
		req.Header.Set(sessionHeader, id)
		req.Header.Set("Mcp-Protocol-Version", "2025-06-18")
	}
	res, err := route.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return "", err
	}
	if res.StatusCode != http.StatusOK {
		return "", errors.New(res.Status)
	}
	return res.Header.Get(sessionHeader), nil
}
