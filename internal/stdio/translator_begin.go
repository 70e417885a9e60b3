package stdio

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// initialize sends the client's initialize. A server that knows nothing of such
// is asked who it is, and spoken for.
func (e *eras) initialize(ctx context.Context, c *call) error {
	c.left()
	m := c.message
	e.hello.Store(&m)
	var unasked bool // an error of a server that knows no initialize
	var answer []byte
	err := e.send(ctx, m, &errand{
		finish: func(m jsonrpc.Message, raw []byte) error {
			if unasked = knowsNoInitialize(raw); unasked {
				answer = bytes.Clone(raw)
				return nil
			}
			if m.Result != nil {
				e.session.Store(nil)
				e.legacy.Store(true)
			}
			return e.out(raw, c)
		},
		other: func(_ jsonrpc.Message, raw []byte) error { return e.out(raw, c) },
	})
	if r, ok := errors.AsType[*refusal](err); unasked || ok && perhapsModern(r) {
		if t, ok := e.translate(ctx, m); ok {
			return t.ask(ctx, c)
		}
	}
	if unasked {
		return e.out(answer, c)
	}
	return err
}

// knowsNoInitialize reports whether a response to an initialize is the error of
// a server that knows no such request.
func knowsNoInitialize(raw []byte) bool {
	switch errorOf(raw).code {
	case codeVersion, codeMismatch, codeCapability, codeNoMethod:
		return true
	}
	return false
}

// perhapsModern reports whether it is worth asking who it is that refuses an
// initialize by r. Not all servers use the code that they should.
func perhapsModern(r *refusal) bool {
	return modernRefusal(r) || r.status == http.StatusBadRequest && errorOf(r.body).code != 0
}

// turnedAway finds out, when a server has answered an initialize but refuses
// what follows, whether it is modern all the same: some SDKs answer one of a
// version that they then do not speak. If so the client need not know.
func (e *eras) turnedAway(ctx context.Context, err error) bool {
	r, ok := errors.AsType[*refusal](err)
	m := e.hello.Load()
	if !ok || !older(r.status) || m == nil {
		return false
	}
	e.legacy.Store(false)
	if _, ok := e.translate(ctx, *m); ok {
		return true
	}
	e.legacy.Store(true)
	return false
}

// translate asks the server who it is, and begins to speak for the client that
// has sent hello. It is false if the server is not modern.
func (e *eras) translate(ctx context.Context, hello message) (*translator, bool) {
	if e.hold(ctx) != nil {
		return nil, false
	}
	defer e.release()
	if t := e.client.Load(); t != nil {
		return t, true
	}
	t := newTranslator(e, hello)
	res, err := e.exchange(ctx, requestOf(e.newID(), "server/discover", object(member{"_meta", object(t.who...)})))
	if err != nil || !t.greet(res.Result) {
		e.o.Log.Debug("the server does not say that it is one of MCP " + newestModern)
		return nil, false
	}
	e.o.Log.Debug("the server speaks MCP " + newestModern + " only: translating for the client")
	e.client.Store(t)
	return t, true
}

func newTranslator(e *eras, hello message) *translator {
	params, _ := jsonrpc.Object(hello.Params) // the server will miss what there is not
	t := &translator{e: e, pending: map[string]context.CancelFunc{}, asked: map[string]chan<- message{}}
	t.who = []member{{metaVersion, quoted(newestModern)}}
	if who := params["clientInfo"]; who != nil {
		t.who = append(t.who, member{metaClient, who})
	}
	if t.capabilities = params["capabilities"]; t.capabilities == nil {
		t.capabilities = json.RawMessage("{}")
	}
	t.who = append(t.who, member{metaCapabilities, t.capabilities})
	return t
}

// greet makes the answer to the client's initialize of the result of a
// server/discover. It is false if that is none of a modern server.
func (t *translator) greet(result json.RawMessage) bool {
	found, err := jsonrpc.Object(result)
	if err != nil {
		return false
	}
	var versions []string
	if json.Unmarshal(found["supportedVersions"], &versions) != nil || !slices.Contains(versions, newestModern) {
		return false
	}
	capabilities := found["capabilities"]
	can, err := jsonrpc.Object(capabilities)
	if err != nil {
		return false
	}
	meta, _ := jsonrpc.Object(found["_meta"]) // or there is none
	server := found["serverInfo"]
	if server == nil {
		server = meta[metaServer]
	}
	if server == nil { // which a client must be told
		server = object(member{"name", quoted(t.e.o.URL.Hostname())}, member{"version", quoted("unknown")})
	}
	members := []member{{"capabilities", capabilities}, {"serverInfo", server}}
	if said := found["instructions"]; said != nil {
		members = append(members, member{"instructions", said})
	}
	t.greeting = bytes.Clone(object(members...))
	t.changes = newChanges(t, can)
	return true
}
