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
	return errors.As(err, &r) && r.status == http.StatusBadRequest && errorOf(r.body).Code == codeMismatch
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
