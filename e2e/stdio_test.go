package e2e_test

//lint:file-ignore SA1019 the versions with sessions have roots

import (
	"context"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// bridge is the command line of a bridge to url without any configuration, in a
// shell that has the token in its environment.
func bridge(url string, more ...string) []string {
	return append([]string{"stdio", url, "--token-env", "E2E_TOKEN"}, more...)
}

// stdio starts a bridge to url.
func (s *shell) stdio(t *testing.T, url string, more ...string) *child {
	t.Helper()
	return s.child(t, s.program, bridge(url, more...)...)
}

// TestStdioBridgesTheGoSDK: its client starts the real binary, whose server
// wants a token that the client does not know. At the end the server is told,
// once, and the binary is gone with status 0.
func TestStdioBridgesTheGoSDK(t *testing.T) {
	t.Parallel()
	onlyUnix(t)
	for revision, sessions := range map[string]int{"2025-11-25": 1, "2026-07-28": 0} {
		t.Run(revision, func(t *testing.T) {
			t.Parallel()
			w, g := newWorld(t), newGateway(t)
			server := mcp.NewServer(&mcp.Implementation{Name: "guarded", Version: "1"}, nil)
			mcp.AddTool(server, &mcp.Tool{Name: "greet"}, func(_ context.Context, _ *mcp.CallToolRequest, in struct{ Name string }) (*mcp.CallToolResult, any, error) {
				return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "grüß dich, " + in.Name}}}, nil, nil
			})
			u := w.upstream("mcp.corp.test", g.token, http2too, mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server },
				&mcp.StreamableHTTPOptions{DisableLocalhostProtection: true, Stateless: sessions == 0}))
			s := w.shell("E2E_TOKEN=" + g.token)
			session, cmd := s.connect(t, revision, nil, bridge(u.url+"/mcp")...)
			if got := session.InitializeResult().ProtocolVersion; got != revision {
				t.Errorf("%s was negotiated", got)
			}
			tools, err := session.ListTools(t.Context(), nil)
			if err != nil || len(tools.Tools) != 1 || tools.Tools[0].Name != "greet" {
				t.Errorf("tools: %v (%v)", tools, err)
			}
			got, err := said(session.CallTool(t.Context(), &mcp.CallToolParams{Name: "greet", Arguments: map[string]any{"Name": "Ada"}}))
			if err != nil || got != "grüß dich, Ada" {
				t.Errorf("the tool said %q (%v)", got, err)
			}
			if err := session.Close(); err != nil || cmd.ProcessState.ExitCode() != 0 {
				t.Errorf("the end: %v, %v", err, cmd.ProcessState)
			}
			u.wantGuarded(t)
			u.wantDeletes(t, sessions)
		})
	}
}

// connect starts the program, and a session with it of the Go SDK. What it
// writes to stderr is shown if the test fails.
func (s *shell) connect(t *testing.T, revision string, o *mcp.ClientOptions, args ...string) (*mcp.ClientSession, *exec.Cmd) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), guardTime)
	cmd := s.command(ctx, s.program, args...)
	var errs strings.Builder
	cmd.Stderr = &errs
	c := mcp.NewClient(&mcp.Implementation{Name: "e2e", Version: "1"}, o)
	c.AddRoots(&mcp.Root{URI: "file:///work"})
	session, err := c.Connect(ctx, &mcp.CommandTransport{Command: cmd}, &mcp.ClientSessionOptions{ProtocolVersion: revision})
	if err != nil {
		cancel()
		t.Fatalf("%v\n%s", err, errs.String())
	}
	t.Cleanup(func() {
		session.Close()
		cancel()
		if t.Failed() {
			t.Logf("the bridge wrote:\n%s", errs.String())
		}
	})
	return session, cmd
}

// wantDeletes checks that so many sessions were ended, each once.
func (u *upstream) wantDeletes(t *testing.T, want int) {
	t.Helper()
	u.mu.Lock()
	defer u.mu.Unlock()
	var ids []string
	for _, v := range u.visits {
		if v.method == http.MethodDelete {
			ids = append(ids, v.header.Get("Mcp-Session-Id"))
		}
	}
	slices.Sort(ids)
	if len(ids) != want || len(slices.Compact(ids)) != want {
		t.Errorf("%d sessions were ended, want %d", len(ids), want)
	}
}
