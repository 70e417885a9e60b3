package e2e_test

import (
	"context"
	"errors"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// mcpSession is a session that its server loses.
type mcpSession struct {
	session *mcp.ClientSession
	changed chan struct{} // the list of tools
}

func (s *mcpSession) begin(ctx context.Context, c *soakClients) error {
	s.changed = make(chan struct{}, 100)
	client := mcp.NewClient(&mcp.Implementation{Name: "soak", Version: "1"}, &mcp.ClientOptions{
		ToolListChangedHandler: func(context.Context, *mcp.ToolListChangedRequest) { s.changed <- struct{}{} },
	})
	var err error
	s.session, err = client.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: "https://mcp.corp.test/mcp", HTTPClient: c.two},
		&mcp.ClientSessionOptions{ProtocolVersion: "2025-11-25"})
	if err != nil {
		return err
	}
	return s.calls(ctx)
}

// goOn wants the calls answered by another server in another session, and the
// stream that was held to have said so.
func (s *mcpSession) goOn(ctx context.Context, _ *soakClients) error {
	if err := s.calls(ctx); err != nil {
		return err
	}
	_, err := receive(s.changed)
	return err
}

// end uses the session under another configuration than it was begun under.
func (s *mcpSession) end(ctx context.Context, _ *soakClients) error {
	return errors.Join(s.calls(ctx), s.session.Close())
}

func (s *mcpSession) calls(ctx context.Context) error {
	return calls(4, func(int) error {
		return again(func() error {
			r, err := s.session.CallTool(ctx, &mcp.CallToolParams{Name: "echo", Arguments: map[string]any{"Text": "hello"}})
			if err == nil && (r.IsError || len(r.Content) != 1) {
				err = errors.New("a call was not answered as it should be")
			}
			return err
		})
	})
}
