package e2e_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestExecGivesSDKsTheirToken: those of models and of MCP, which know nothing
// but the environment.
func TestExecGivesSDKsTheirToken(t *testing.T) {
	t.Parallel()
	onlyUnix(t)
	n := needNode(t)
	stream := func(events ...string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = w.Write([]byte(strings.Join(events, "\n\n") + "\n\n"))
		})
	}
	for name, tt := range map[string]struct {
		handler func() http.Handler
		base    string // of the URL that the script is given
		path    string
		want    string
	}{
		"openai.mjs": {
			handler: func() http.Handler {
				return stream(`data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"hello"}}]}`, "data: [DONE]")
			},
			path: "/v1/chat/completions", want: "hello",
		},
		"anthropic.mjs": {
			handler: func() http.Handler {
				return stream(
					"event: message_start\n"+`data: {"type":"message_start","message":{"id":"m","type":"message","role":"assistant","content":[],"model":"m","usage":{"input_tokens":1,"output_tokens":1}}}`,
					"event: content_block_start\n"+`data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`,
					"event: content_block_delta\n"+`data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hello"}}`,
					"event: message_stop\n"+`data: {"type":"message_stop"}`)
			},
			path: "/v1/messages", want: "hello",
		},
		"mcp.mjs": {
			handler: func() http.Handler { return everything(t, n) },
			base:    "/mcp", path: "/mcp", want: `"echo":"Echo: grüß dich"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, g := newWorld(t), newGateway(t)
			u := w.upstream("api.corp.test", g.token, http2too, tt.handler())
			s := w.shell("E2E_TOKEN=" + g.token)
			out, errs := s.exec(t, []string{"--rule", u.url + "/=env:E2E_TOKEN"}, n.program, n.script(t, name), u.url+tt.base)
			if !strings.Contains(out, tt.want) || strings.Contains(errs, g.token) {
				t.Errorf("it printed %q, want %q\n%s", out, tt.want, errs)
			}
			u.wantGuarded(t)
			if len(u.to(tt.path)) == 0 {
				t.Error("no request arrived")
			}
		})
	}
}
