package stdio

import (
	"context"
	"encoding/json"
	"errors"
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

// askModern sends a request of the modern era to a server of which nothing is
// known yet.
func (e *eras) askModern(ctx context.Context, c *call) error {
	if e.legacy.Load() { // somebody is about to find out
		if s, err := e.lend(ctx, c); err == nil {
			return s.ask(ctx, c)
		}
	}
	err := e.first(ctx, c)
	if err == nil || e.modern.Load() || !legacyRefusal(err) || answeredCall(err, c) {
		return err
	}
	if c.Method == "server/discover" {
		return notModern(c, err)
	}
	s, lendErr := e.lend(ctx, c)
	if lendErr != nil {
		e.o.Log.Debug("the server refused a modern request, and has begun no session", "error", lendErr)
		return err
	}
	return s.ask(ctx, c)
}

var errModern = errors.New("the server is modern")

// probe asks who it is that has refused c. Its error is nil only of a server that
// refuses that likewise: it has not carried out c, which others than it may have
// refused, or the server for what is in it.
func (e *eras) probe(ctx context.Context, meta json.RawMessage) error {
	_, err := e.exchange(ctx, requestOf(e.newID(), "server/discover", object(member{"_meta", object(triple(meta)...)})))
	switch {
	case e.modern.Load():
		return errModern
	case legacyRefusal(err):
		return nil
	}
	return err
}

// notModern is what a client is told that asks a legacy server who it is. The
// code is that of a server that does not know the method: the only answer on
// which every client of both eras initializes ("Backward Compatibility" of "stdio").
func notModern(c *call, err error) error {
	version, _ := modernVersion(c.Params)
	return &failure{
		code: codeNoMethod,
		line: "the server speaks no version of MCP without an initialize, as " + version + " is: initialize it, or use a client that does",
		data: map[string]any{"supported": []string{newestLegacy, "2025-06-18", "2025-03-26", "2024-11-05"}, "requested": version},
		err:  err,
	}
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
