package e2e_test

//lint:file-ignore SA1019 the versions with sessions have logging

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// goSession is testdata/session.mjs on the Go SDK. Where is its name and the
// server's URL; SESSION_RENEWS is heeded as there.
func goSession(ctx context.Context, where string) error {
	name, url, _ := strings.Cut(where, " ")
	s := &sdkSession{name: name, url: url, out: json.NewEncoder(os.Stdout)}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var c command
		if err := json.Unmarshal(in.Bytes(), &c); err != nil {
			return err
		}
		l := s.do(ctx, c)
		l.Did = c.Do
		s.print(l)
	}
	return nil
}

// sdkSession is a session of the Go SDK whose notifications are printed.
type sdkSession struct {
	name, url string

	renewing sync.Mutex
	mu       sync.Mutex // of what follows
	session  *mcp.ClientSession
	out      *json.Encoder
}

func (s *sdkSession) current() *mcp.ClientSession {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.session
}

// renew begins another session in the place of lost, unless that has been done.
func (s *sdkSession) renew(ctx context.Context, lost *mcp.ClientSession) error {
	s.renewing.Lock()
	defer s.renewing.Unlock()
	if s.current() != lost {
		return nil
	}
	return s.connect(ctx)
}

func (s *sdkSession) print(l line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out.Encode(l)
}

func (s *sdkSession) do(ctx context.Context, c command) line {
	switch c.Do {
	case "connect":
		return failure(s.connect(ctx))
	case "call":
		return line{Results: s.calls(ctx, c)}
	case "level":
		return failure(s.current().SetLoggingLevel(ctx, &mcp.SetLoggingLevelParams{Level: mcp.LoggingLevel(c.Level)}))
	case "subscribe":
		return failure(s.current().Subscribe(ctx, &mcp.SubscribeParams{URI: c.URI}))
	case "end":
		return failure(s.current().Close())
	}
	return line{Error: "unknown command"}
}

func (s *sdkSession) connect(ctx context.Context) error {
	saw := func(method string, params any) {
		b, _ := json.Marshal(params)
		s.print(line{Saw: method, Params: b})
	}
	c := mcp.NewClient(&mcp.Implementation{Name: s.name, Version: "1"}, &mcp.ClientOptions{
		LoggingMessageHandler: func(_ context.Context, r *mcp.LoggingMessageRequest) { saw("notifications/message", r.Params) },
		ResourceUpdatedHandler: func(_ context.Context, r *mcp.ResourceUpdatedNotificationRequest) {
			saw("notifications/resources/updated", r.Params)
		},
		ToolListChangedHandler: func(_ context.Context, r *mcp.ToolListChangedRequest) {
			saw("notifications/tools/list_changed", r.Params)
		},
	})
	session, err := c.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: s.url}, nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.session = session
	return err
}

func (s *sdkSession) calls(ctx context.Context, c command) []line {
	results := make([]line, max(c.Times, 1))
	var all sync.WaitGroup
	for i := range results {
		all.Go(func() { results[i] = s.call(ctx, c) })
	}
	all.Wait()
	return results
}

func (s *sdkSession) call(ctx context.Context, c command) line {
	if c.Arguments == nil {
		c.Arguments = map[string]any{} // null is not what a server expects
	}
	params := &mcp.CallToolParams{Name: c.Tool, Arguments: c.Arguments}
	session := s.current()
	r, err := session.CallTool(ctx, params)
	if errors.Is(err, mcp.ErrSessionMissing) && os.Getenv("SESSION_RENEWS") != "" {
		if err = s.renew(ctx, session); err == nil {
			r, err = s.current().CallTool(ctx, params)
		}
	}
	if err != nil {
		return failure(err)
	}
	var texts []string
	for _, part := range r.Content {
		if t, ok := part.(*mcp.TextContent); ok {
			texts = append(texts, t.Text)
		}
	}
	return line{Text: strings.Join(texts, "\n")}
}

func failure(err error) line {
	if err == nil {
		return line{}
	}
	l := line{Error: err.Error()}
	if e, ok := errors.AsType[*jsonrpc.Error](err); ok {
		l.Code, l.Data = json.RawMessage(fmt.Sprint(e.Code)), e.Data
	}
	return l
}
