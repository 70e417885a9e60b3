package stdio

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// mostPages is how many pages of a list are asked for to find one tool.
const mostPages = 32

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

// probe asks who it is that has refused a request. Its error is nil only of a
// server that knows nothing of that, either, and so has not begun the request;
// else it may be a gateway that has refused it, or what is in it is the reason.
func (e *eras) probe(ctx context.Context, meta json.RawMessage) error {
	if e.modern.Load() {
		return errModern
	}
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
		data: map[string]any{"supported": legacyVersions(), "requested": version},
		err:  err,
	}
}

// wire sends a request. If the server refuses a tool's call because the header
// does not repeat an argument, it has its list asked for, and the call sent once
// more: what was refused so was not begun.
func (e *eras) wire(ctx context.Context, c *call) error {
	err := e.next.ask(ctx, c)
	if c.Method == "tools/call" && !e.legacy.Load() && mismatched(err) && e.relearn(ctx, c) {
		return e.next.ask(ctx, c)
	}
	return err
}

func mismatched(err error) bool {
	var r *refusal
	return errors.As(err, &r) && r.status == http.StatusBadRequest && errorOf(r.body).code == codeMismatch
}

// relearn asks for the list of tools, as whom c is of. It reports whether the
// header of c is another now.
func (e *eras) relearn(ctx context.Context, c *call) bool {
	name, ok := toolName(c.Params)
	if !ok {
		return false
	}
	before := e.tools.of(name)
	params, err := jsonrpc.Object(c.Params)
	if err != nil {
		return false
	}
	members := []member{{"_meta", object(triple(params["_meta"])...)}}
	for range mostPages {
		res, err := e.exchange(ctx, requestOf(e.newID(), "tools/list", object(members...)))
		if err != nil || res.Result == nil {
			break
		}
		e.tools.learn(res.Result)
		page, err := jsonrpc.Object(res.Result)
		cursor, more := jsonrpc.Text(page["nextCursor"])
		if err != nil || !more || cursor == "" {
			break
		}
		members = append(members[:1], member{"cursor", page["nextCursor"]})
	}
	return !reflect.DeepEqual(before, e.tools.of(name))
}

// triple returns what every modern request says of its client, as a _meta has it.
func triple(meta json.RawMessage) (members []member) {
	had, _ := jsonrpc.Object(meta) // or there is none
	for _, name := range []string{metaVersion, metaClient, metaCapabilities} {
		if had[name] != nil {
			members = append(members, member{name, had[name]})
		}
	}
	return members
}

// hold waits for the right to find out what the server is.
func (e *eras) hold(ctx context.Context) error {
	select {
	case e.beginning <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (e *eras) release() { <-e.beginning }
