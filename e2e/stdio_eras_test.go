package e2e_test

//lint:file-ignore SA1019 the versions with sessions have sampling and roots

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// answering is a client that answers what servers ask, and notes what they tell.
func answering(told chan<- string) *mcp.ClientOptions {
	return &mcp.ClientOptions{
		CreateMessageHandler: func(context.Context, *mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
			return &mcp.CreateMessageResult{Model: "m", Role: "assistant", Content: &mcp.TextContent{Text: "the sampled answer"}}, nil
		},
		ElicitationHandler: func(context.Context, *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			return &mcp.ElicitResult{Action: "accept", Content: map[string]any{"name": "Ada", "username": "ada"}}, nil
		},
		ToolListChangedHandler: func(context.Context, *mcp.ToolListChangedRequest) { told <- "tools changed" },
		ProgressNotificationHandler: func(_ context.Context, r *mcp.ProgressNotificationClientRequest) {
			told <- fmt.Sprint("progress ", r.Params.Progress)
		},
		LoggingMessageHandler:  func(_ context.Context, r *mcp.LoggingMessageRequest) { told <- fmt.Sprint(r.Params.Data) },
		ResourceUpdatedHandler: func(_ context.Context, r *mcp.ResourceUpdatedNotificationRequest) { told <- r.Params.URI },
	}
}

// does is a call of a tool of the Go SDK's conformance server, and what has to come
// of it.
type does struct {
	tool, says string
	told       []string
	arguments  map[string]any
}

var change = does{"test_trigger_tool_change", "published", []string{"tools changed"}, nil}

// asked are calls on which the server asks the client for something, or tells it,
// by messages of its own: it can in a session.
func asked() []does {
	return []does{
		{"test_sampling", "the sampled answer", nil, map[string]any{"prompt": "p"}},
		{"test_elicitation", "action=accept", nil, map[string]any{"message": "m"}},
		{"test_tool_with_logging", "success", []string{"Tool execution started", "Tool execution completed"}, nil},
		change,
	}
}

// returned are those whose result is first what the client is asked for.
func returned() []does {
	return []does{
		{"test_input_required_result_sampling", "the sampled answer", nil, nil},
		{"test_input_required_result_elicitation", "Hello, Ada!", nil, nil},
		{"test_input_required_result_list_roots", "file:///work", nil, nil},
		change,
	}
}

// wantEra checks which version was negotiated, if that is to be a certain one,
// and has what both eras have done, and more.
func wantEra(t *testing.T, session *mcp.ClientSession, speaks string, told <-chan string, more []does) {
	t.Helper()
	if got := session.InitializeResult().ProtocolVersion; speaks != "" && got != speaks {
		t.Errorf("%s was negotiated, want %s", got, speaks)
	}
	if speaks == "2025-11-25" {
		if err := session.SetLoggingLevel(t.Context(), &mcp.SetLoggingLevelParams{Level: "info"}); err != nil {
			t.Error(err)
		}
	}
	if _, err := session.ListTools(t.Context(), nil); err != nil {
		t.Error(err)
	}
	both := []does{
		{"test_simple_text", "simple text", nil, nil},
		{"test_tool_with_progress", "the token", []string{"progress 0", "progress 50", "progress 100"}, nil},
	}
	for _, d := range append(both, more...) {
		params := &mcp.CallToolParams{Name: d.tool, Arguments: d.arguments}
		params.SetProgressToken("the token")
		got, err := said(session.CallTool(t.Context(), params))
		if err != nil || !strings.Contains(got, d.says) {
			t.Errorf("%s: %q (%v), want %q", d.tool, got, err, d.says)
		}
		for _, want := range d.told {
			if err := awaits(told, want); err != nil {
				t.Errorf("%s: %v", d.tool, err)
			}
		}
	}
}

// TestStdioSpeaksBothErasWithTheGoSDK: a client of each era, and a server with
// sessions and one without. What the server asks the client for comes as a
// request in the one era, and as the result of a call in the other.
func TestStdioSpeaksBothErasWithTheGoSDK(t *testing.T) {
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
			address := conformanceServer(t, tt.server)
			w, g := newWorld(t), newGateway(t)
			w.cert, w.caFile = newCertificate(t, "localhost")
			w.upstream("localhost", g.token, http2too, leadingTo(address))
			url := "https://" + strings.Replace(w.addresses["localhost:443"], "127.0.0.1", "localhost", 1) + "/"
			s := w.shell("E2E_TOKEN=" + g.token)
			told := make(chan string, 1000)
			session, cmd := s.connect(t, tt.client, answering(told), bridge(url)...)
			wantEra(t, session, tt.speaks, told, tt.does)
			if err := session.Close(); err != nil || cmd.ProcessState.ExitCode() != 0 {
				t.Errorf("the end: %v, %v", err, cmd.ProcessState)
			}
		})
	}
}

// said is the text of a tool's result.
func said(r *mcp.CallToolResult, err error) (text string, _ error) {
	if err != nil {
		return "", err
	}
	for _, c := range r.Content {
		if c, ok := c.(*mcp.TextContent); ok {
			text += c.Text
		}
	}
	return text, nil
}

// awaits waits until this is told.
func awaits(told <-chan string, want string) error {
	for {
		got, err := receive(told)
		if err != nil {
			return fmt.Errorf("%q was not told: %w", want, err)
		}
		if got == want {
			return nil
		}
	}
}
