package stdio

import (
	"context"
	"encoding/json"
	"errors"
	"sync"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// translator speaks for a legacy client to a modern server. It says with each
// request what the client has said in its initialize, answers what modern
// servers do not know any more, asks the client what the server wants to know
// before it goes on, and is told of changes in its place.
type translator struct {
	e            *eras
	who          []member        // what each request says in its _meta
	capabilities json.RawMessage // of the client
	greeting     []byte          // the result of an initialize, but for the version
	changes      *changes

	mu      sync.Mutex
	level   json.RawMessage               // of the log, nil unless the client has said one
	pending map[string]context.CancelFunc // the client's calls, by the key of their id
	asked   map[string]chan<- message     // what the client was asked, by the key of the id
}

// ask does what [upstream] says.
func (t *translator) ask(ctx context.Context, c *call) error {
	defer c.left()
	switch c.Method {
	case "initialize":
		return t.reply(c, t.welcome(c.Params))
	case "ping":
		return t.reply(c, []byte("{}"))
	case "logging/setLevel":
		return t.setLevel(c)
	case "resources/subscribe", "resources/unsubscribe":
		return t.subscribe(ctx, c)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	key := keyOf(c.ID)
	t.mu.Lock()
	t.pending[key] = cancel
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.pending, key)
	}()
	c.left() // a cancellation needs not wait: it closes the POST
	return t.relay(ctx, c)
}

// reply answers c without the server.
func (t *translator) reply(c *call, value []byte) error {
	return t.e.out(resultOf(c.ID, value), c)
}

// welcome is the result of an initialize. The client is told its own version, if
// that is one that has an initialize: what the server says it can say in all of them.
func (t *translator) welcome(params json.RawMessage) []byte {
	members, _ := jsonrpc.Object(params) // or it has said none
	version, _ := jsonrpc.Text(members["protocolVersion"])
	if !legacyVersion(version) {
		version = newestLegacy
	}
	return insert(t.greeting, whole(t.greeting), member{"protocolVersion", quoted(version)})
}

// setLevel remembers from which level on the client wants to be told the log.
func (t *translator) setLevel(c *call) error {
	params, err := jsonrpc.Object(c.Params)
	level, ok := jsonrpc.Text(params["level"])
	if err != nil || !ok || level == "" {
		return &failure{code: codeParams, line: "logging/setLevel has no level"}
	}
	t.mu.Lock()
	t.level = params["level"]
	t.mu.Unlock()
	return t.reply(c, []byte("{}"))
}

// meta is what a request says in its _meta.
func (t *translator) meta() []member {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.level == nil {
		return t.who
	}
	return append(t.who[:len(t.who):len(t.who)], member{metaLevel, t.level})
}

// tell takes what modern servers are not told: they ask for all that they want
// to know, and a request ends with its POST.
func (t *translator) tell(m message) error {
	switch {
	case m.Kind == jsonrpc.Response:
		t.mu.Lock()
		to := t.asked[keyOf(m.ID)]
		delete(t.asked, keyOf(m.ID))
		t.mu.Unlock()
		if to != nil {
			to <- m
		}
	case m.Method == "notifications/cancelled":
		params, err := jsonrpc.Object(m.Params)
		if id := params["requestId"]; err == nil && id != nil {
			t.mu.Lock()
			cancel := t.pending[keyOf(id)]
			t.mu.Unlock()
			if cancel != nil {
				cancel()
			}
		}
	}
	return nil
}

// relay sends a request as often as the server wants more to be said with it.
func (t *translator) relay(ctx context.Context, c *call) error {
	dressed, err := withMeta(c.raw, t.meta())
	if errors.Is(err, errMeta) {
		return &failure{code: codeParams, line: err.Error()}
	} else if err != nil {
		return err
	}
	raw := dressed
	for round := 0; ; round++ {
		wanted, err := t.round(ctx, c, raw)
		if err != nil || wanted == nil {
			return err
		}
		if round == mostRounds {
			return &failure{line: "the server asked the client again and again for more, and was not content"}
		}
		if raw, err = t.more(ctx, c, dressed, wanted, round); err != nil {
			return err
		}
	}
}

// round sends a request once. It returns what the server wants to know first,
// nil if it has given its response.
func (t *translator) round(ctx context.Context, c *call, raw []byte) (wanted json.RawMessage, err error) {
	m, err := jsonrpc.Parse(raw)
	if err != nil {
		return nil, err
	}
	err = t.e.send(ctx, message{m, raw}, &errand{
		finish: func(m jsonrpc.Message, raw []byte) error {
			if wanted = inputWanted(c.Method, m.Result); wanted != nil {
				return nil
			}
			if c.Method == "tools/list" {
				raw = t.e.listed(raw)
			}
			return t.e.out(underID(raw, m.ID, c.ID), c)
		},
		other: func(_ jsonrpc.Message, raw []byte) error { return t.e.out(raw, c) },
	})
	if wanted != nil {
		return wanted, nil
	}
	return nil, err
}

// listen tells the client of changes, until ctx ends.
func (t *translator) listen(ctx context.Context) { t.changes.run(ctx) }
