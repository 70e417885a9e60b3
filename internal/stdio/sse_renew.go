package stdio

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"time"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// mostRenewal is how long it may take to begin a session anew.
const mostRenewal = 30 * time.Second

var (
	errStale   = errors.New("the server does not know the stream any more")
	errVersion = errors.New("another version of the protocol")
)

// renew begins the session of the client on a stream that has none, with what
// the client had sent to begin its own, and sets what it had set.
func (s *sse) renew(t *stream) error {
	s.mu.Lock()
	was, sets := s.memory, s.memory.messages()
	s.mu.Unlock()
	if was.params == nil {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(t.ctx, mostRenewal, ours("the server did not begin another session in time"))
	defer cancel()
	m, err := t.request(ctx, "initialize", was.params)
	if err != nil {
		return err
	}
	version, lists := terms(m.Result)
	switch {
	case version == "":
		return ours("the connection to the server was lost, and it refuses to begin another session: restart the client")
	case version != was.version:
		f := ours("the connection to the server was lost, and it now speaks another version of the protocol: restart the client")
		f.err = errVersion
		return f
	}
	t.speak(version)
	if was.told == nil {
		return nil // the client will say that it is initialized
	}
	t.lists = lists
	if err := t.tell(ctx, message{raw: was.told}); err != nil {
		return err
	}
	for _, set := range sets {
		if _, err := t.request(ctx, set.Method, set.Params); isClosed(t.lost) || ctx.Err() != nil {
			return err
		} else if err != nil {
			s.o.Log.Warn("the session that was lost had a setting that the server does not take again", "method", set.Method, "error", err)
		}
	}
	return nil
}

// welcome tells the client to look again at what may have changed while the
// server was away.
func (s *sse) welcome(t *stream) {
	for _, list := range t.lists {
		_ = s.deliver([]byte(`{"jsonrpc":"2.0","method":"notifications/`+list+`/list_changed"}`), nil)
	}
}

// terms returns the version that the result of an initialize names, "" if
// none, and the lists of which the server says that it tells when they change.
func terms(result json.RawMessage) (version string, lists []string) {
	members, err := jsonrpc.Object(result)
	if err != nil {
		return "", nil
	}
	version, ok := jsonrpc.Text(members["protocolVersion"])
	if !ok || !visible(version, mostVersion) {
		return "", nil
	}
	capabilities, _ := jsonrpc.Object(members["capabilities"])
	for _, list := range []string{"tools", "prompts", "resources"} {
		if of, err := jsonrpc.Object(capabilities[list]); err == nil && string(of["listChanged"]) == "true" {
			lists = append(lists, list)
		}
	}
	return version, lists
}

// request asks something for the bridge itself. The client sees nothing of it.
// An error of the server's makes a message without a result.
func (t *stream) request(ctx context.Context, method string, params json.RawMessage) (jsonrpc.Message, error) {
	id := json.RawMessage(`"injectproxy-` + rand.Text() + `"`)
	raw := append([]byte(`{"jsonrpc":"2.0","id":`), id...)
	raw = append(append(raw, `,"method":"`...), method...)
	raw = append(raw, '"')
	if len(params) > 0 {
		raw = append(append(raw, `,"params":`...), params...)
	}
	raw = append(raw, '}')
	r := &response{done: make(chan struct{})}
	defer t.expect(keyOf(id), r)()
	out := message{Message: jsonrpc.Message{Kind: jsonrpc.Request, Method: method, ID: id, Params: params}, raw: raw}
	err := t.await(ctx, r.done, func(ctx context.Context) error { return t.send(ctx, out, nil) })
	return r.message, err
}

// response is one to a request of the bridge's own.
type response struct {
	done    chan struct{} // closed when it is there
	message jsonrpc.Message
}

// expect has the response of that key kept from the client, until it is over.
func (t *stream) expect(key string, r *response) (over func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.own[key] = r
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.own, key)
	}
}

// expects reports whether the bridge waits for a response itself.
func (t *stream) expects() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.own) > 0
}

// settle takes a response if it is the bridge's.
func (t *stream) settle(key string, m jsonrpc.Message) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.own[key]
	if r == nil {
		return false
	}
	delete(t.own, key)
	r.message = jsonrpc.Message{Kind: m.Kind, Result: bytes.Clone(m.Result)}
	close(r.done)
	return true
}
