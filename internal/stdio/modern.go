package stdio

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// eras is streamable HTTP for clients and servers of either era of MCP. Modern
// is what has no sessions, 2026-07-28 and later; legacy is what begins with an
// initialize. Where both sides are of one era it passes everything, and repeats
// for a modern server in the header what the body says; where they are not, it
// translates: see [translator] for a legacy client, [lent] for a modern one.
type eras struct {
	o    Options
	next *streamable
	out  func(raw []byte, on *call) error // to the client

	tools  marked
	last   atomic.Uint64 // number of the last id of ours
	own    sync.Map      // *call to *errand: requests that the client has not sent, or not so
	modern atomic.Bool   // the server has carried out a request of the modern era: it is not taken for legacy any more
	legacy atomic.Bool   // the server has begun a session: nothing is of the modern era any more

	version atomic.Pointer[string] // of the last modern request

	beginning chan struct{} // held by who finds out what the server is
	hello     atomic.Pointer[message]
	client    atomic.Pointer[translator]
	session   atomic.Pointer[lent]
}

// newEras returns an upstream that has nothing to do until it is asked.
func newEras(o Options, deliver func(raw []byte, on *call) error) upstream {
	e := &eras{o: o, out: deliver, beginning: make(chan struct{}, 1)}
	e.next = newHTTP(o, e.deliver)
	e.next.fields = e.fields
	return e
}

// fields is what the header of a POST has beside what every one has. What a
// modern client tells without saying of which version that is, is of the one of
// its last request.
func (e *eras) fields(h http.Header, m message) {
	if e.legacy.Load() {
		return
	}
	modernFields(h, m, &e.tools)
	said := h[headerVersion]
	switch {
	case m.Kind == jsonrpc.Request && len(said) > 0:
		e.version.Store(&said[0])
	case m.Kind == jsonrpc.Notification && len(said) == 0 && e.hello.Load() == nil:
		if version := e.version.Load(); version != nil {
			versionFields(h, *version, m.Method)
		}
	}
}

// ask implements [upstream].
func (e *eras) ask(ctx context.Context, c *call) error {
	if t := e.client.Load(); t != nil {
		return t.ask(ctx, c)
	}
	switch {
	case isInitialize(c.message):
		return e.initialize(ctx, c)
	case !e.isModern(c):
		return e.next.ask(ctx, c)
	}
	if s := e.session.Load(); s != nil {
		return s.ask(ctx, c)
	}
	return e.askModern(ctx, c)
}

// isModern reports whether c is a request of the modern era. The client's
// initialize is the end of that.
func (e *eras) isModern(c *call) bool {
	if e.hello.Load() != nil {
		return false
	}
	_, ok := modernVersion(c.Params)
	return ok
}

// tell implements [upstream].
func (e *eras) tell(ctx context.Context, m message) error {
	if t := e.client.Load(); t != nil {
		return t.tell(m)
	}
	if m.Method == "notifications/cancelled" && e.hello.Load() == nil && !e.legacy.Load() {
		return nil // it comes too late: a request under way is cancelled by closing its POST
	}
	err := e.next.tell(ctx, m)
	if m.Method == "notifications/initialized" && e.turnedAway(ctx, err) {
		return nil
	}
	return err
}

// listen implements [upstream].
func (e *eras) listen(ctx context.Context) {
	if t := e.client.Load(); t != nil {
		t.listen(ctx)
		return
	}
	e.next.listen(ctx)
}

// end implements [upstream].
func (e *eras) end(ctx context.Context) error { return e.next.end(ctx) }

// deliver takes what the server says.
func (e *eras) deliver(raw []byte, on *call) error {
	if on != nil {
		e.proved(raw, on)
		if own, ok := e.own.Load(on); ok {
			return own.(*errand).take(raw, on)
		}
		if on.Method == "tools/list" && !e.legacy.Load() {
			raw = e.listed(raw)
		}
	}
	return e.out(raw, on)
}

// proved takes note that the server is modern, as it answers a modern request
// with a result.
func (e *eras) proved(raw []byte, on *call) {
	if e.modern.Load() || e.legacy.Load() {
		return
	}
	if _, ok := modernVersion(on.Params); !ok {
		return
	}
	if m, _, err := parse(raw); err == nil && m.Kind == jsonrpc.Response && m.Result != nil {
		e.modern.Store(true)
	}
}

// listed takes from the response to a tools/list what concerns the header.
func (e *eras) listed(raw []byte) []byte {
	m, raw, err := parse(raw)
	if err != nil || m.Kind != jsonrpc.Response || m.Result == nil {
		return raw
	}
	rest := e.tools.learn(m.Result)
	if len(rest) == len(m.Result) {
		return raw
	}
	e.o.Log.Warn("the server's list has a tool that repeats arguments in the header in a way that MCP forbids; the client is not shown it")
	return withResult(raw, rest)
}
