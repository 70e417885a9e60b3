package stdio

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

const (
	mostSubscribed = 1024    // resources that a client can subscribe to
	mostURI        = 8 << 10 // bytes of the URI of one

	mostUnbegun = 5 * time.Second // that a subscription waits for the client to say that it is initialized
)

// changes is what a legacy client is told of without asking: that a list has
// changed, if the server offers that, and a resource that it has subscribed to.
// A modern server tells it on the stream of a subscriptions/listen.
type changes struct {
	t         *translator
	lists     []string // that the server tells of
	resources bool     // it takes subscriptions

	once  sync.Once
	begun chan struct{} // closed when there may be a stream

	mu      sync.Mutex
	uris    map[string]bool
	waiting []*subscriber
	wake    chan struct{} // has one when uris has changed

	streams sync.WaitGroup
}

// subscriber is a call that waits until the server has agreed.
type subscriber struct {
	uri    string
	agreed chan error // holds one
}

func newChanges(t *translator, can map[string]json.RawMessage) *changes {
	x := &changes{t: t, begun: make(chan struct{}), uris: map[string]bool{}, wake: make(chan struct{}, 1)}
	for _, list := range []string{"tools", "prompts", "resources"} {
		how, _ := jsonrpc.Object(can[list]) // or the server has none
		if string(how["listChanged"]) == "true" {
			x.lists = append(x.lists, list)
		}
		if list == "resources" {
			x.resources = string(how["subscribe"]) == "true"
		}
	}
	return x
}

// subscribe does what a legacy server does for resources/subscribe and
// resources/unsubscribe.
func (t *translator) subscribe(ctx context.Context, c *call) error {
	params, err := jsonrpc.Object(c.Params)
	uri, ok := jsonrpc.Text(params["uri"])
	switch {
	case err != nil || !ok || uri == "" || len(uri) > mostURI:
		return &failure{code: codeParams, line: c.Method + " has no uri, or none that can be taken"}
	case !t.changes.resources:
		return &failure{code: codeNoMethod, line: "the server does not offer subscriptions to resources"}
	case c.Method == "resources/unsubscribe":
		t.changes.drop(uri)
		return t.reply(c, []byte("{}"))
	}
	if err := t.changes.ready(ctx); err != nil {
		return err
	}
	if err := t.changes.add(ctx, uri); err != nil {
		return err
	}
	return t.reply(c, []byte("{}"))
}

// ready waits until there may be a stream. Clients that are quick subscribe a
// moment before they say that they are initialized, others never say it.
func (x *changes) ready(ctx context.Context) error {
	late := time.NewTimer(mostUnbegun)
	defer late.Stop()
	select {
	case <-x.begun:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-late.C:
		return &failure{code: codeInvalid, line: "the client subscribes to a resource, but has not sent notifications/initialized, before which it is told of nothing"}
	}
}

// add subscribes to a resource, and returns when the server has agreed.
func (x *changes) add(ctx context.Context, uri string) error {
	w := &subscriber{uri, make(chan error, 1)}
	x.mu.Lock()
	if len(x.uris) >= mostSubscribed && !x.uris[uri] {
		x.mu.Unlock()
		return &failure{line: "the client has subscribed to too many resources"}
	}
	x.uris[uri] = true
	x.waiting = append(x.waiting, w)
	x.mu.Unlock()
	x.changed()
	select {
	case err := <-w.agreed:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (x *changes) drop(uri string) {
	x.mu.Lock()
	delete(x.uris, uri)
	x.mu.Unlock()
	x.changed()
}

func (x *changes) changed() {
	select {
	case x.wake <- struct{}{}:
	default: // it is known
	}
}

// wanted returns what is to be told of now, and who waits for that.
func (x *changes) wanted() (uris []string, waiting []*subscriber) {
	x.mu.Lock()
	defer x.mu.Unlock()
	waiting, x.waiting = x.waiting, nil
	return slices.Sorted(maps.Keys(x.uris)), waiting
}

// agree tells those that wait what the server says of their resources.
func (x *changes) agree(waiting []*subscriber, honored []string) {
	for _, w := range waiting {
		if slices.Contains(honored, w.uri) {
			w.agreed <- nil
			continue
		}
		x.refuse([]*subscriber{w}, &failure{code: codeParams, line: "the server does not take a subscription to this resource"})
	}
}

func (x *changes) refuse(waiting []*subscriber, err error) {
	x.mu.Lock()
	for _, w := range waiting {
		delete(x.uris, w.uri)
	}
	x.mu.Unlock()
	for _, w := range waiting {
		w.agreed <- err
	}
}

// params is what a subscriptions/listen says.
func (x *changes) params(uris []string) []byte {
	var what []member
	for _, list := range x.lists {
		what = append(what, member{list + "ListChanged", []byte("true")})
	}
	if len(uris) > 0 {
		quotedURIs, err := json.Marshal(uris)
		if err != nil { // strings always marshal
			panic(err)
		}
		what = append(what, member{"resourceSubscriptions", quotedURIs})
	}
	return object(member{"_meta", object(x.t.meta()...)}, member{"notifications", object(what...)})
}

// again tells the client to look again at everything that it is told of: what
// changed while there was no stream, the server does not tell any more.
func (x *changes) again(h honored) {
	for _, n := range h.changes(nil) {
		_ = x.t.e.out(n.raw, nil) // it is a message
	}
}
