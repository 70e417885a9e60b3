//lint:file-ignore SA1019 servers and clients still sample, which the protocol only discourages

package stdio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// house is a server of the Go SDK behind TLS.
type house struct {
	*mcp.Server
	url   string
	route *asked

	mu     sync.Mutex
	bodies []string
	heads  []http.Header
	begun  chan string // tools whose call has begun
	ended  chan string // and was cancelled
	subs   chan string // what clients subscribe to, and - what they do no more
}

// What the SDK's server speaks, and how it refuses what it does not.
var (
	legacyOnly = []string{"2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"}
	modernOnly = []string{"2026-07-28"}
)

type named struct {
	Who string `json:"who,omitempty"`
}

// newHouse begins a server of some versions. In front stands what sees each
// request first, and may answer it; nil: nobody.
func newHouse(t *testing.T, versions []string, front func(w http.ResponseWriter, r *http.Request, body string) bool) *house {
	t.Helper()
	h := &house{begun: make(chan string, 10), ended: make(chan string, 10), subs: make(chan string, 100)}
	h.Server = mcp.NewServer(&mcp.Implementation{Name: "house", Version: "1"}, &mcp.ServerOptions{
		Instructions: "knock", SupportedProtocolVersions: versions,
		SubscribeHandler:   func(_ context.Context, r *mcp.SubscribeRequest) error { h.subs <- r.Params.URI; return nil },
		UnsubscribeHandler: func(_ context.Context, r *mcp.UnsubscribeRequest) error { h.subs <- "-" + r.Params.URI; return nil },
	})
	h.furnish()
	inner := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return h.Server }, &mcp.StreamableHTTPOptions{
		Stateless: slices.Contains(versions, "2026-07-28"), PropagateRequestCancellation: true,
	})
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		h.mu.Lock()
		h.bodies, h.heads = append(h.bodies, string(body)), append(h.heads, r.Header.Clone())
		h.mu.Unlock()
		if front == nil || !front(w, r, string(body)) {
			inner.ServeHTTP(w, r)
		}
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	tr := srv.Client().Transport.(*http.Transport)
	tr.DisableCompression = true
	t.Cleanup(tr.CloseIdleConnections)
	h.url, h.route = srv.URL+"/mcp", &asked{RoundTripper: tr}
	return h
}

func (h *house) furnish() {
	mcp.AddTool(h.Server, &mcp.Tool{Name: "greet"}, func(ctx context.Context, r *mcp.CallToolRequest, in named) (*mcp.CallToolResult, any, error) {
		if token := r.Params.GetProgressToken(); token != nil {
			_ = r.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: token, Progress: 1, Message: "half"})
		}
		return says("hello " + in.Who), nil, nil
	})
	mcp.AddTool(h.Server, &mcp.Tool{Name: "wait"}, func(ctx context.Context, _ *mcp.CallToolRequest, _ named) (*mcp.CallToolResult, any, error) {
		h.begun <- "wait"
		<-ctx.Done()
		h.ended <- "wait"
		return nil, nil, ctx.Err()
	})
	mcp.AddTool(h.Server, &mcp.Tool{Name: "form"}, func(_ context.Context, r *mcp.CallToolRequest, _ named) (*mcp.CallToolResult, any, error) {
		if got, ok := r.Params.InputResponses["name"].(*mcp.ElicitResult); ok {
			model := r.Params.InputResponses["model"].(*mcp.CreateMessageWithToolsResult)
			return says(fmt.Sprintf("%v by %v, %v", got.Content["name"], model.Model, r.Params.RequestState)), nil, nil
		}
		return &mcp.CallToolResult{InputRequests: mcp.InputRequestMap{
			"name": &mcp.ElicitParams{Mode: "form", Message: "who?", RequestedSchema: &jsonschema.Schema{Type: "object", Properties: map[string]*jsonschema.Schema{"name": {Type: "string"}}}},
			"model": &mcp.CreateMessageParams{MaxTokens: 5, Messages: []*mcp.SamplingMessage{
				{Role: "user", Content: &mcp.TextContent{Text: "which?"}},
			}},
		}, RequestState: "opaque"}, nil, nil
	})
	h.AddTool(&mcp.Tool{Name: "placed", InputSchema: json.RawMessage(`{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"},"deep":{"type":"object","properties":{"n":{"type":"integer","x-mcp-header":"Deep-N"}}}}}`)},
		func(_ context.Context, r *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return says(r.Extra.Header.Get("Mcp-Param-Region") + "/" + r.Extra.Header.Get("Mcp-Param-Deep-N")), nil
		})
	h.AddPrompt(&mcp.Prompt{Name: "poem", Arguments: []*mcp.PromptArgument{{Name: "of"}}}, func(_ context.Context, r *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		return &mcp.GetPromptResult{Description: "of " + r.Params.Arguments["of"]}, nil
	})
	h.AddResource(&mcp.Resource{Name: "door", URI: "house://door"}, func(context.Context, *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: "house://door", Text: "open"}}}, nil
	})
}

func says(text string) *mcp.CallToolResult {
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}
}

func text(t *testing.T, res *mcp.CallToolResult, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return res.Content[0].(*mcp.TextContent).Text
}

// said returns the bodies that the server was sent so far.
func (h *house) said() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.bodies)
}

// guest is a client of the Go SDK on the other side of a bridge.
type guest struct {
	*mcp.ClientSession
	heard chan string
}

// visit connects a client that prefers a version, "" for the newest.
func visit(t *testing.T, h *house, version string) *guest {
	t.Helper()
	g := &guest{heard: make(chan string, 100)}
	client := mcp.NewClient(&mcp.Implementation{Name: "guest", Version: "2"}, &mcp.ClientOptions{
		ElicitationHandler: func(context.Context, *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			return &mcp.ElicitResult{Action: "accept", Content: map[string]any{"name": "Ann"}}, nil
		},
		CreateMessageHandler: func(context.Context, *mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
			return &mcp.CreateMessageResult{Model: "brush", Role: "assistant", Content: &mcp.TextContent{Text: "it"}}, nil
		},
		ToolListChangedHandler:      func(context.Context, *mcp.ToolListChangedRequest) { g.heard <- "tools" },
		ResourceUpdatedHandler:      func(_ context.Context, r *mcp.ResourceUpdatedNotificationRequest) { g.heard <- r.Params.URI },
		ProgressNotificationHandler: func(_ context.Context, r *mcp.ProgressNotificationClientRequest) { g.heard <- r.Params.Message },
	})
	b := New(Options{URL: parsed(t, h.url), Route: h.route, Log: testLog(t)})
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	over := make(chan error, 1)
	go func() {
		over <- b.Run(context.Background(), inR, outW)
		outW.Close()
		inR.Close()
	}()
	t.Cleanup(func() {
		inW.Close()
		if err := <-over; err != nil && !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("the bridge: %v", err)
		}
	})
	session, err := client.Connect(t.Context(), &mcp.IOTransport{Reader: outR, Writer: inW}, &mcp.ClientSessionOptions{ProtocolVersion: version})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close() })
	g.ClientSession = session
	return g
}

// refusesLegacy stands before a server as modern-only servers of other SDKs are.
func refusesLegacy(w http.ResponseWriter, r *http.Request, body string) bool {
	if r.Header.Get("Mcp-Protocol-Version") >= "2026" {
		return false
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	fmt.Fprint(w, `{"jsonrpc":"2.0","id":null,"error":{"code":-32022,"message":"Unsupported protocol version","data":{"supported":["2026-07-28"]}}}`)
	return true
}

func TestEveryClientWorksWithServersOfBothEras(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		server []string
		front  func(http.ResponseWriter, *http.Request, string) bool
		client string
		speaks string
	}{
		"modern client, modern server":                  {modernOnly, refusesLegacy, "", "2026-07-28"},
		"modern client, legacy server":                  {legacyOnly, nil, "", "2025-11-25"},
		"modern client, server of both":                 {slices.Concat(modernOnly, legacyOnly), nil, "", "2026-07-28"},
		"legacy client, legacy server":                  {legacyOnly, nil, "2025-11-25", "2025-11-25"},
		"legacy client, modern server":                  {modernOnly, refusesLegacy, "2025-11-25", "2025-11-25"},
		"old client, modern server":                     {modernOnly, refusesLegacy, "2025-06-18", "2025-06-18"},
		"legacy client, modern server that initializes": {modernOnly, nil, "2025-11-25", "2025-11-25"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, tt.server, tt.front)
			g := visit(t, h, tt.client)
			if got := g.InitializeResult(); got.ProtocolVersion != tt.speaks || got.ServerInfo == nil || got.ServerInfo.Name != "house" || got.Instructions != "knock" {
				t.Errorf("initialized as %+v", got)
			}
			visitAll(t, h, g)
		})
	}
}

// visitAll does all that a client can with a server.
func visitAll(t *testing.T, h *house, g *guest) {
	ctx := t.Context()
	tools, err := g.ListTools(ctx, nil)
	if err != nil || len(tools.Tools) != 4 {
		t.Fatalf("%v, %v", tools, err)
	}
	call := &mcp.CallToolParams{Name: "greet", Arguments: named{"Bob"}, Meta: mcp.Meta{"progressToken": "p"}}
	res, err := g.CallTool(ctx, call)
	want(t, "greeting", text(t, res, err), "hello Bob")
	want(t, "progress", <-g.heard, "half")
	res, err = g.CallTool(ctx, &mcp.CallToolParams{Name: "form"})
	want(t, "form", text(t, res, err), "Ann by brush, opaque")
	prompt, err := g.GetPrompt(ctx, &mcp.GetPromptParams{Name: "poem", Arguments: map[string]string{"of": "joy"}})
	if err != nil || prompt.Description != "of joy" {
		t.Errorf("%v, %v", prompt, err)
	}
	read, err := g.ReadResource(ctx, &mcp.ReadResourceParams{URI: "house://door"})
	if err != nil || read.Contents[0].Text != "open" {
		t.Errorf("%v, %v", read, err)
	}
	if _, err := g.CallTool(ctx, &mcp.CallToolParams{Name: "none"}); err == nil {
		t.Error("a tool that there is not was called")
	}

	waiting, cancel := context.WithCancel(ctx)
	over := make(chan error, 1)
	go func() { _, err := g.CallTool(waiting, &mcp.CallToolParams{Name: "wait"}); over <- err }()
	select {
	case <-h.begun:
	case err := <-over:
		t.Fatalf("the call ended before it began: %v", err)
	}
	cancel()
	if err := <-over; !errors.Is(err, context.Canceled) {
		t.Errorf("the cancelled call: %v", err)
	}
	want(t, "cancelled", <-h.ended, "wait")

	if err := g.Subscribe(ctx, &mcp.SubscribeParams{URI: "house://door"}); err != nil {
		t.Fatal(err)
	}
	want(t, "subscribed", <-h.subs, "house://door")
	for { // a modern client does not wait until the server has agreed
		if err := h.ResourceUpdated(ctx, &mcp.ResourceUpdatedNotificationParams{URI: "house://door"}); err != nil {
			t.Fatal(err)
		}
		if heardWithin(g.heard, "house://door") {
			break
		}
	}
	mcp.AddTool(h.Server, &mcp.Tool{Name: "new"}, func(context.Context, *mcp.CallToolRequest, named) (*mcp.CallToolResult, any, error) {
		return says("new"), nil, nil
	})
	for heard := range g.heard {
		if heard == "tools" {
			break
		}
	}
	if err := g.Unsubscribe(ctx, &mcp.UnsubscribeParams{URI: "house://door"}); err != nil {
		t.Fatal(err)
	}
	for sub := range h.subs {
		if sub == "-house://door" {
			break
		}
	}
}

// heardWithin reports whether something is heard soon.
func heardWithin(heard <-chan string, what string) bool {
	soon, cancel := context.WithTimeout(context.Background(), leastPause)
	defer cancel()
	for {
		select {
		case got := <-heard:
			if got == what {
				return true
			}
		case <-soon.Done():
			return false
		}
	}
}
