package stdio

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// oldHouse is a server of the Go SDK that speaks by event streams alone, and can
// be begun anew.
type oldHouse struct {
	*house
	srv   *httptest.Server
	posts sync.RWMutex // held while one is answered
	inner atomic.Pointer[mcp.SSEHandler]
}

func newOldHouse(t *testing.T) *oldHouse {
	t.Helper()
	h := &oldHouse{house: &house{begun: make(chan string, 10), ended: make(chan string, 10), subs: make(chan string, 100)}}
	h.Server = mcp.NewServer(&mcp.Implementation{Name: "house", Version: "1"}, &mcp.ServerOptions{
		SubscribeHandler:   func(_ context.Context, r *mcp.SubscribeRequest) error { h.subs <- r.Params.URI; return nil },
		UnsubscribeHandler: func(context.Context, *mcp.UnsubscribeRequest) error { return nil },
	})
	h.furnish()
	mcp.AddTool(h.Server, &mcp.Tool{Name: "ask"}, func(ctx context.Context, r *mcp.CallToolRequest, _ named) (*mcp.CallToolResult, any, error) {
		name, err := r.Session.Elicit(ctx, &mcp.ElicitParams{Message: "who?"})
		if err != nil {
			return nil, nil, err
		}
		//lint:ignore SA1019 servers of 2024-11-05 ask clients for this
		model, err := r.Session.CreateMessage(ctx, &mcp.CreateMessageParams{MaxTokens: 5})
		if err != nil {
			return nil, nil, err
		}
		return says(fmt.Sprintf("%v by %v", name.Content["name"], model.Model)), nil, nil
	})
	h.restart()
	h.srv = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			h.posts.RLock()
			defer h.posts.RUnlock()
			defer http.NewResponseController(w).Flush()
		}
		h.inner.Load().ServeHTTP(w, r)
	}))
	h.srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	h.srv.StartTLS()
	t.Cleanup(h.srv.Close)
	tr := h.srv.Client().Transport.(*http.Transport)
	t.Cleanup(tr.CloseIdleConnections)
	h.url, h.route = h.srv.URL+"/sse", &asked{RoundTripper: tr}
	return h
}

// restart has the server forget all its sessions. What it has begun to do it has
// said to have taken.
func (h *oldHouse) restart() {
	h.posts.Lock()
	defer h.posts.Unlock()
	h.inner.Store(mcp.NewSSEHandler(func(*http.Request) *mcp.Server { return h.Server }, nil))
	if h.srv != nil {
		h.srv.CloseClientConnections()
	}
}

// TestClientsOfBothErasWorkWithAnOldServer holds that against the SDK's own: it
// is found out by itself, and everything passes both ways.
func TestClientsOfBothErasWorkWithAnOldServer(t *testing.T) {
	t.Parallel()
	for name, version := range map[string]string{"modern client": "", "legacy client": "2025-11-25", "old client": "2024-11-05"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newOldHouse(t)
			g := visit(t, h.house, version)
			ctx := t.Context()
			want(t, "server", g.InitializeResult().ServerInfo.Name, "house")
			res, err := g.CallTool(ctx, &mcp.CallToolParams{Name: "greet", Arguments: named{"Bob"}, Meta: mcp.Meta{"progressToken": "p"}})
			want(t, "greeting", text(t, res, err), "hello Bob")
			want(t, "progress", <-g.heard, "half")
			res, err = g.CallTool(ctx, &mcp.CallToolParams{Name: "ask"})
			want(t, "what was asked of the client", text(t, res, err), "Ann by brush")
			if err := g.Subscribe(ctx, &mcp.SubscribeParams{URI: "house://door"}); err != nil {
				t.Fatal(err)
			}
			want(t, "subscription", <-h.subs, "house://door")
			if err := h.ResourceUpdated(ctx, &mcp.ResourceUpdatedNotificationParams{URI: "house://door"}); err != nil {
				t.Error(err)
			}
			want(t, "what was updated", <-g.heard, "house://door")
			waiting, cancel := context.WithCancel(ctx)
			go func() { <-h.begun; cancel() }()
			if _, err := g.CallTool(waiting, &mcp.CallToolParams{Name: "wait"}); !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: %v", err)
			}
			want(t, "what was cancelled", <-h.ended, "wait")
		})
	}
}

// TestClientOutlivesTheRestartOfAnOldServer holds that, with the call that was
// under way answered by an error and never sent again.
func TestClientOutlivesTheRestartOfAnOldServer(t *testing.T) {
	t.Parallel()
	h := newOldHouse(t)
	g := visit(t, h.house, "2025-06-18")
	ctx := t.Context()
	if err := g.Subscribe(ctx, &mcp.SubscribeParams{URI: "house://door"}); err != nil {
		t.Fatal(err)
	}
	<-h.subs
	over := make(chan struct{})
	defer close(over) // the SDK's server does not cancel what it does for a client that is gone
	mcp.AddTool(h.Server, &mcp.Tool{Name: "linger"}, func(context.Context, *mcp.CallToolRequest, named) (*mcp.CallToolResult, any, error) {
		h.begun <- "linger"
		<-over
		return says("late"), nil, nil
	})
	want(t, "new tool", <-g.heard, "tools")
	go func() { <-h.begun; h.restart() }()
	if _, err := g.CallTool(ctx, &mcp.CallToolParams{Name: "linger"}); err == nil || !strings.Contains(err.Error(), "it may have been carried out") {
		t.Errorf("the call under way: %v", err)
	}
	res, err := g.CallTool(ctx, &mcp.CallToolParams{Name: "greet", Arguments: named{"Bob"}})
	want(t, "greeting", text(t, res, err), "hello Bob")
	want(t, "subscription", <-h.subs, "house://door")
	want(t, "change", <-g.heard, "tools")
	want(t, "calls begun again", len(h.begun), 0)
	if err := h.ResourceUpdated(ctx, &mcp.ResourceUpdatedNotificationParams{URI: "house://door"}); err != nil {
		t.Error(err)
	}
	want(t, "what was updated", <-g.heard, "house://door")
}
