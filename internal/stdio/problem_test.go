package stdio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

func TestEveryFailureIsToldInOneLine(t *testing.T) {
	t.Parallel()
	type document struct {
		Title string `json:"title"`
	}
	explain := func(err error) (string, any) { return "explained: " + err.Error(), document{"t"} }
	text := func(status int, mediaType, body string) *refusal {
		return &refusal{status: status, mediaType: mediaType, body: []byte(body)}
	}
	line := func(s string) string { return ourError(`"x"`, s) }
	const problem = `{"title":"T","detail":"D\u0007 E"}`
	for name, tt := range map[string]struct {
		err     error
		explain func(error) (string, any)
		want    string
	}{
		"of the route":                 {err: errors.New("a\nb\x1b[2J\u2028\u202e"), want: line("a b [2J  ")},
		"explained":                    {err: errors.New("e"), explain: explain, want: `{"jsonrpc":"2.0","id":"x","error":{"code":-32016,"message":"explained: e","data":{"title":"t"}}}`},
		"failure":                      {err: &failure{code: -32000, line: "f", data: 1}, explain: explain, want: `{"jsonrpc":"2.0","id":"x","error":{"code":-32000,"message":"f","data":1}}`},
		"failure in an error":          {err: fmt.Errorf("w: %w", &failure{line: "f"}), explain: explain, want: line("f")},
		"failure because of a refusal": {err: &failure{line: "f", err: text(503, "", "")}, want: line("f")},
		"refusal in an error":          {err: fmt.Errorf("w: %w", text(503, "", "")), explain: explain, want: line("the server answered 503 Service Unavailable")},
		"none":                         {want: line(noResponse)},
		"status nobody knows":          {err: text(799, "text/html", "<p>"), want: line("the server answered 799")},
		"text":                         {err: text(500, "text/plain", "\r\n  it\tbroke \x00 \nstack"), want: line("the server answered 500 Internal Server Error: it broke")},
		"long text":                    {err: text(400, "text/plain", strings.Repeat("é", 200)), want: line("the server answered 400 Bad Request: " + strings.Repeat("é", 100) + "…")},
		"text that is not UTF-8":       {err: text(400, "text/plain", "a\xffb"), want: line("the server answered 400 Bad Request: ab")},
		"empty text":                   {err: text(400, "text/plain", " "), want: line("the server answered 400 Bad Request")},
		"problem document":             {err: text(502, "application/problem+json", problem), want: string(jsonrpc.ErrorBody([]byte(`"x"`), -32016, "the server answered 502 Bad Gateway: D  E", json.RawMessage(problem)))},
		"problem with a title":         {err: text(502, "application/json", `{"title":"T","detail":1}`), want: line("the server answered 502 Bad Gateway: T")},
		"problem that is broken":       {err: text(502, "application/problem+json", `{"title":"T"`), want: line("the server answered 502 Bad Gateway")},
		"error of OAuth":               {err: text(401, "application/json", `{"error":"invalid_token","error_description":"expired"}`), want: line("the server answered 401 Unauthorized: expired")},
		"retry":                        {err: &refusal{status: 429, retryAfter: 90 * time.Second}, want: line("the server answered 429 Too Many Requests (try again in 1m30s)")},
		"redirect":                     {err: &refusal{status: 301, location: "https://other.example/x"}, want: line("the server answered 301 Moved Permanently: it has moved to https://other.example/x, use that URL")},
		"JSON-RPC error":               {err: text(404, "application/json", ` {"jsonrpc":"2.0","id":"server-error","error":{"code":-32601,"message":"no such <method>","data":[1]}}`), want: ` {"jsonrpc":"2.0","id":"x","error":{"code":-32601,"message":"no such <method>","data":[1]}}`},
		"JSON-RPC error beside null":   {err: text(400, "application/json", `{"jsonrpc":"2.0","id":null,"result":null,"error":{"code":1,"message":"m"}}`), want: `{"error":{"code":1,"message":"m"},"id":"x","jsonrpc":"2.0"}`},
		"JSON-RPC error without an id": {err: text(400, "application/json", `{"jsonrpc":"2.0","error":{"code":1,"message":"m"},"id":null}`), want: `{"jsonrpc":"2.0","error":{"code":1,"message":"m"},"id":"x"}`},
		"JSON-RPC error of any type":   {err: text(400, "text/plain", `{"jsonrpc":"2.0","id":5,"error":{"code":1,"message":"m"}}`), want: `{"jsonrpc":"2.0","id":"x","error":{"code":1,"message":"m"}}`},
		"error that is no object":      {err: text(400, "", `{"jsonrpc":"2.0","id":5,"error":"m"}`), want: line("the server answered 400 Bad Request")},
		"error without a message":      {err: text(400, "", `{"jsonrpc":"2.0","id":5,"error":{"code":1}}`), want: line("the server answered 400 Bad Request")},
		"error with a code of text":    {err: text(400, "", `{"jsonrpc":"2.0","id":5,"error":{"code":"1","message":"m"}}`), want: line("the server answered 400 Bad Request")},
		"error without a code":         {err: text(400, "", `{"jsonrpc":"2.0","id":5,"error":{"message":"m"}}`), want: line("the server answered 400 Bad Request")},
		"result in a refusal":          {err: text(400, "", `{"jsonrpc":"2.0","id":5,"result":{}}`), want: line("the server answered 400 Bad Request")},
	} {
		c := newCall(context.Background(), messageWith(`"x"`))
		b := newBridge(Options{Explain: tt.explain}, func(*Bridge) upstream { return nil })
		got := string(b.problem(c, tt.err))
		if got != tt.want {
			t.Errorf("%s:\n  %s, want\n  %s", name, got, tt.want)
		}
		if m, err := jsonrpc.Parse([]byte(got)); err != nil || string(m.ID) != `"x"` {
			t.Errorf("%s: %v", name, err)
		}
		c.cancel(errEnding)
		if got := string(b.problem(c, tt.err)); got != line(errEnding.line) {
			t.Errorf("%s, at the end: %s", name, got)
		}
		if got := string(b.problem(c, &unsent{tt.err})); got != line(errUnsent.line) {
			t.Errorf("%s, at the end and not sent: %s", name, got)
		}
	}
}
