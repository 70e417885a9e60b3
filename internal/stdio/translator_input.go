package stdio

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

const (
	mostRounds = 10 // times that a server may want more to be said with one request
	mostInputs = 64 // and things at once
)

// inputWanted returns result if that is no result yet, but what the server wants
// to know first ("Multi Round-Trip Requests"); else nil.
func inputWanted(method string, result json.RawMessage) json.RawMessage {
	switch method {
	case "tools/call", "prompts/get", "resources/read":
	default:
		return nil
	}
	members, err := jsonrpc.Object(result)
	if kind, ok := jsonrpc.Text(members["resultType"]); err != nil || !ok || kind != "input_required" {
		return nil
	}
	return slices.Clone(result)
}

// declared says which capability of the client lets a server ask for what.
var declared = map[string]string{
	"elicitation/create": "elicitation", "sampling/createMessage": "sampling", "roots/list": "roots",
}

// more asks the client for what the server wants, and returns the request as it
// is to be sent again: another one, by its id.
func (t *translator) more(ctx context.Context, c *call, dressed []byte, wanted json.RawMessage, round int) ([]byte, error) {
	members, err := jsonrpc.Object(wanted)
	if err != nil {
		return nil, err
	}
	var add []member
	if requests := members["inputRequests"]; requests != nil {
		responses, err := t.inputs(ctx, c, requests)
		if err != nil {
			return nil, err
		}
		add = append(add, member{"inputResponses", responses})
	} else if !pause(ctx, time.Duration(round)*100*time.Millisecond) { // the server is busy
		return nil, context.Cause(ctx)
	}
	if state := members["requestState"]; state != nil {
		add = append(add, member{"requestState", state})
	}
	m, err := jsonrpc.Parse(dressed)
	if err != nil {
		return nil, err
	}
	return underID(withParams(dressed, add...), m.ID, t.e.newID()), nil
}

// inputs asks the client all that the server wants to know, at once, and returns
// the responses by the server's names. If they are not waited for any more, it
// withdraws what it has asked.
func (t *translator) inputs(ctx context.Context, c *call, requests json.RawMessage) (json.RawMessage, error) {
	wanted, err := jsonrpc.Object(requests)
	switch {
	case err != nil:
		return nil, &failure{line: "the server wants to know something of the client, in a form that cannot be read", err: err}
	case len(wanted) > mostInputs:
		return nil, &failure{line: "the server wants to know too much of the client at once"}
	}
	names := slices.Sorted(maps.Keys(wanted))
	ids, answers := make([][]byte, len(names)), make([]chan message, len(names))
	for i, name := range names {
		q, err := t.question(wanted[name])
		if err != nil {
			return nil, err
		}
		ids[i], answers[i] = t.e.newID(), make(chan message, 1)
		defer t.await(c, ids[i], answers[i])()
		if err := t.e.out(requestOf(ids[i], q.Method, q.Params).raw, c); err != nil {
			return nil, err
		}
	}
	responses := make([]member, len(names))
	for i, name := range names {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case m := <-answers[i]:
			if m.Result == nil {
				return nil, &failure{code: codeInternal, line: "the server wanted to know something of the client, which answered with an error", data: errorMember(m.raw)}
			}
			responses[i] = member{name, slices.Clone(m.Result)}
		}
	}
	return object(responses...), nil
}

// question reads what the server wants to know.
func (t *translator) question(raw json.RawMessage) (q jsonrpc.Message, err error) {
	members, err := jsonrpc.Object(raw)
	method, ok := jsonrpc.Text(members["method"])
	needs, known := declared[method]
	switch {
	case err != nil || !ok || !known:
		return q, &failure{line: "the server wants to know something of the client that MCP does not know"}
	case !t.can(needs):
		return q, &failure{code: codeCapability, line: "the server wants " + method + " of the client, which has not declared that it can do that"}
	}
	return jsonrpc.Message{Method: method, Params: members["params"]}, nil
}

// can reports whether the client has declared a capability.
func (t *translator) can(capability string) bool {
	had, err := jsonrpc.Object(t.capabilities)
	return err == nil && had[capability] != nil && string(had[capability]) != "null"
}

// await has the response to what the client is asked for c go to a channel, until
// what it returns is called. That tells the client if none has come.
func (t *translator) await(c *call, id []byte, to chan<- message) (done func()) {
	key := keyOf(id)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asked[key] = to
	return func() {
		t.mu.Lock()
		_, open := t.asked[key]
		delete(t.asked, key)
		t.mu.Unlock()
		if open {
			_ = t.e.out(notificationOf("notifications/cancelled", object(member{"requestId", id})).raw, c) // it is a message
		}
	}
}

// errorMember returns the error of a response, as it stands.
func errorMember(raw []byte) any {
	members, err := jsonrpc.Object(raw)
	if err != nil || members["error"] == nil {
		return nil
	}
	return members["error"]
}
