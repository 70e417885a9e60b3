package stdio

import (
	"context"
	"encoding/json"
	"time"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// lent is a session with a legacy server that the bridge has begun for a client
// that sends modern requests and nothing else. It declares no capabilities, for
// such a client can be asked nothing. Clients of both eras never get here: they
// ask who the server is, are told that it is legacy, and initialize.
type lent struct {
	e       *eras
	version string
}

// lend begins a session in place of the client that has sent c.
func (e *eras) lend(ctx context.Context, c *call) (*lent, error) {
	if err := e.hold(ctx); err != nil {
		return nil, err
	}
	defer e.release()
	if s := e.session.Load(); s != nil {
		return s, nil
	}
	params, _ := jsonrpc.Object(c.Params) // they have been read before
	if err := e.probe(ctx, params["_meta"]); err != nil {
		return nil, err
	}
	meta, _ := jsonrpc.Object(params["_meta"])
	who := meta[metaClient]
	if who == nil {
		who = json.RawMessage(`{"name":"injectproxy","version":"1"}`)
	}
	res, err := e.exchange(ctx, requestOf(e.newID(), "initialize", object(
		member{"protocolVersion", quoted(newestLegacy)}, member{"capabilities", []byte("{}")}, member{"clientInfo", who},
	)))
	if err != nil {
		return nil, err
	}
	greeting, err := jsonrpc.Object(res.Result)
	if err != nil {
		return nil, err
	}
	s := &lent{e: e}
	s.version, _ = jsonrpc.Text(greeting["protocolVersion"])
	e.legacy.Store(true)
	if err := e.next.tell(ctx, notificationOf("notifications/initialized", nil)); err != nil {
		e.legacy.Store(false)
		return nil, err
	}
	e.session.Store(s)
	return s, nil
}

// ask sends a modern request in the session, as a legacy one: some servers take
// none that says that it is of another version.
func (s *lent) ask(ctx context.Context, c *call) error {
	switch c.Method {
	case "server/discover":
		return notModern(c, nil)
	case "subscriptions/listen":
		return &failure{code: codeNoMethod, line: "the server speaks MCP " + shortVersion(s.version) + ", which has no subscriptions/listen: a client that initializes is told of changes"}
	}
	raw := withoutMeta(c.raw)
	m, err := jsonrpc.Parse(raw)
	if err != nil {
		return err
	}
	var answered bool
	err = s.e.send(ctx, message{m, raw}, &errand{
		finish: func(_ jsonrpc.Message, raw []byte) error { answered = true; return s.e.out(raw, c) },
		other: func(m jsonrpc.Message, raw []byte) error {
			if s.refuses(m) || m.Method == "notifications/cancelled" { // of a request that the client has not seen
				return nil
			}
			return s.e.out(raw, c)
		},
	})
	if ctx.Err() != nil && !answered {
		s.cancelled(c)
	}
	return err
}

// shortVersion is a version as it may be told.
func shortVersion(v string) string {
	if v == "" || !visible(v, mostVersion) {
		return "with sessions"
	}
	return v
}

// cancelled tells the server what the end of a POST does not say to it.
func (s *lent) cancelled(c *call) {
	ctx, done := context.WithTimeout(context.WithoutCancel(c.ctx), 300*time.Millisecond)
	defer done()
	_ = s.e.next.tell(ctx, notificationOf("notifications/cancelled", object(member{"requestId", c.ID}))) // who has gone waits for nothing
}

// refuses answers what the server asks of the client, and reports whether m is
// such a request.
func (s *lent) refuses(m jsonrpc.Message) bool {
	if m.Kind != jsonrpc.Request {
		return false
	}
	answer := jsonrpc.ErrorBody(m.ID, codeNoMethod, "the client speaks a version of MCP in which servers do not ask by requests", nil)
	ctx, done := context.WithTimeout(context.Background(), 5*time.Second)
	defer done()
	_ = s.e.next.tell(ctx, message{jsonrpc.Message{Kind: jsonrpc.Response, ID: m.ID}, answer}) // the server will do without
	return true
}

// notificationOf writes a notification.
func notificationOf(method string, params []byte) message {
	members := []member{{"jsonrpc", []byte(`"2.0"`)}, {"method", quoted(method)}}
	if params != nil {
		members = append(members, member{"params", params})
	}
	return message{jsonrpc.Message{Kind: jsonrpc.Notification, Method: method, Params: params}, object(members...)}
}
