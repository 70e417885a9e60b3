package e2e_test

//lint:file-ignore SA1019 the versions with sessions have logging

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// severable has the world's connections lead through what can reset them all.
// It is called before serve.
func (w *world) severable() (sever func()) {
	var mu sync.Mutex
	var conns []net.Conn
	via := httptest.NewUnstartedServer(http.HandlerFunc(w.connect))
	via.Config.ConnState = func(c net.Conn, s http.ConnState) {
		if s != http.StateHijacked {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		conns = append(conns, c)
	}
	via.Start()
	w.via.Close()
	w.via = via
	return func() {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range conns {
			c.(*net.TCPConn).SetLinger(0) // the close is a reset
			c.Close()
		}
		conns = nil
	}
}

// TestCallCutInTheMiddleIsDeliveredOnce: the connection is reset while a call
// is with the server, before it has answered and while it does. Nobody knows
// how far the server has come, so the call is never sent again: the client sees
// that it failed. The TypeScript clients wait for the rest of an answer that
// has begun until they have no patience left. The session goes on.
func TestCallCutInTheMiddleIsDeliveredOnce(t *testing.T) {
	t.Parallel()
	n := needNode(t)
	w, g := newWorld(t), newGateway(t)
	sever := w.severable()
	m := begun(t, new(slow).start)
	u := w.upstream("mcp.corp.test", g.token, http2too, m)
	p := w.serve(options{rules: g.rules(`kind = "mcp"`, u.url+"/mcp"), hidden: []string{g.token}})
	var clients []*sessionClient
	for _, sdk := range sdks(n) {
		clients = append(clients, sdk.start(t, p, sdk.name, u.url+"/mcp"))
	}
	together(t, clients, func(c *sessionClient) error {
		return c.must(command{Do: "connect"}, command{Do: "level", Level: "info"}, command{Do: "call", Tool: "quick"})
	})
	for _, tool := range []string{"silent", "talking"} {
		call := command{Do: "call", Tool: tool, Patience: 2000}
		isIt := func(m message) bool { return strings.Contains(m.body, `"`+tool+`"`) }
		together(t, clients, func(c *sessionClient) error {
			if err := c.tell(call); err != nil {
				return err
			}
			if tool == "talking" {
				return c.sees("notifications/message", "so far")
			}
			return m.wait("the call", c.name, 1, isIt)
		})
		sever()
		together(t, clients, func(c *sessionClient) error {
			l, err := c.outcome(call)
			if err == nil && l.Results[0].Error == "" {
				err = fmt.Errorf("%s: a call that was not answered succeeded: %v", c.name, l)
			}
			if err != nil {
				return err
			}
			t.Logf("%s: %s: %s", tool, c.name, l.Results[0].Error)
			return c.must(command{Do: "call", Tool: "quick", Times: 10})
		})
		for _, c := range clients {
			if got := m.all(c.name, isIt); len(got) != 1 {
				t.Errorf("%s: %s: the call arrived %d times, want once", tool, c.name, len(got))
			}
			if begun := m.all(c.name, func(m message) bool { return m.method == "initialize" }); len(begun) != 1 {
				t.Errorf("%s: %s: %d initialize arrived, want one", tool, c.name, len(begun))
			}
		}
	}
	u.wantGuarded(t)
}

// TestCutAnswerIsResumedByTheClient: where the server numbers what it says, the
// clients ask for the rest of an answer that was cut, and get it. The call has
// arrived once.
func TestCutAnswerIsResumedByTheClient(t *testing.T) {
	t.Parallel()
	n := needNode(t)
	w, g := newWorld(t), newGateway(t)
	sever := w.severable()
	server := &slow{events: mcp.NewMemoryEventStore(nil), release: make(chan struct{})}
	m := begun(t, server.start)
	u := w.upstream("mcp.corp.test", g.token, http2too, m)
	p := w.serve(options{rules: g.rules(`kind = "mcp"`, u.url+"/mcp"), hidden: []string{g.token}})
	var clients []*sessionClient
	for _, sdk := range sdks(n) {
		clients = append(clients, sdk.start(t, p, sdk.name, u.url+"/mcp"))
	}
	call := command{Do: "call", Tool: "talking"}
	together(t, clients, func(c *sessionClient) error {
		return errors.Join(c.must(command{Do: "connect"}, command{Do: "level", Level: "info"}), c.tell(call), c.sees("notifications/message", "so far"))
	})
	sever()
	together(t, clients, func(c *sessionClient) error { return m.wait("the rest's stream", c.name, 1, message.resumed) })
	close(server.release)
	together(t, clients, func(c *sessionClient) error {
		l, err := c.outcome(call)
		if err == nil && l.Results[0].Text != "done" {
			err = fmt.Errorf("%s: %v", c.name, l)
		}
		return err
	})
	for _, c := range clients {
		if got := m.all(c.name, func(m message) bool { return m.method == "tools/call" }); len(got) != 1 {
			t.Errorf("%s: %d calls arrived, want one", c.name, len(got))
		}
	}
}

// slow is a server of the Go SDK with a tool that answers, one that never
// does, and one that says something and the rest when it is released.
type slow struct {
	events  mcp.EventStore // nil: what it says cannot be resumed
	release chan struct{}  // nil: never
}

func (s *slow) start() (address string, kill func()) {
	server := mcp.NewServer(&mcp.Implementation{Name: "slow", Version: "1"}, nil)
	tool := func(name string, do func(context.Context, *mcp.CallToolRequest)) {
		mcp.AddTool(server, &mcp.Tool{Name: name}, func(ctx context.Context, r *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
			do(ctx, r)
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "done"}}}, nil, nil
		})
	}
	ended := make(chan struct{})
	wait := func(ctx context.Context, release <-chan struct{}) {
		select {
		case <-ctx.Done():
		case <-ended:
		case <-release:
		}
	}
	tool("quick", func(context.Context, *mcp.CallToolRequest) {})
	tool("silent", func(ctx context.Context, _ *mcp.CallToolRequest) { wait(ctx, nil) })
	tool("talking", func(ctx context.Context, r *mcp.CallToolRequest) {
		r.Session.Log(ctx, &mcp.LoggingMessageParams{Level: "info", Data: "so far"})
		wait(ctx, s.release)
	})
	h := httptest.NewServer(mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server },
		&mcp.StreamableHTTPOptions{DisableLocalhostProtection: true, EventStore: s.events}))
	return h.Listener.Addr().String(), func() {
		close(ended)
		closeSessions(server)
		h.CloseClientConnections()
		h.Close()
	}
}

// closeSessions ends what a server does for the sessions that it has.
func closeSessions(server *mcp.Server) {
	for s := range server.Sessions() {
		s.Close()
	}
}
