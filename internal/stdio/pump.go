package stdio

import (
	"bytes"
	"context"
	"time"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// tellLimit is how long the server may take to take a notification or a
// response: those behind it wait.
const tellLimit = 60 * time.Second

// order holds back what may not be sent yet. It belongs to the goroutine of Run.
type order struct {
	gate <-chan struct{} // nil: open; else nothing is sent before it is closed
	then func()          // called when it is; may be nil
	held []arrival
}

// take sends a on its way, or keeps it until it may be.
func (b *Bridge) take(a arrival) {
	if b.order.gate != nil && !b.urgent(a) {
		b.order.held = append(b.order.held, a)
		return
	}
	b.dispatch(a)
}

// urgent reports whether a waits for nothing: the reply to what the server has
// asked, and the end of the wait for initialize.
func (b *Bridge) urgent(a arrival) bool {
	if a.Kind == jsonrpc.Notification && a.Method == "notifications/cancelled" {
		c := b.cancelled(a.message)
		return c != nil && c.Method == "initialize"
	}
	return a.Kind == jsonrpc.Response
}

// opened sends what was held back, up to what must be waited for next.
func (b *Bridge) opened() {
	then := b.order.then
	b.order.gate, b.order.then = nil, nil
	if then != nil {
		then()
	}
	for len(b.order.held) > 0 && b.order.gate == nil {
		a := b.order.held[0]
		b.order.held[0] = arrival{}
		b.order.held = b.order.held[1:]
		b.dispatch(a)
	}
}

func (b *Bridge) dispatch(a arrival) {
	switch {
	case a.Kind == jsonrpc.Request:
		b.start(a)
		return
	case a.Kind == jsonrpc.Response:
		told := b.inOrder(a)
		if a.ID != nil {
			key := keyOf(a.ID)
			b.work.Go(func() { <-told; b.calls.reply(key) })
		}
		return
	case a.Method == "notifications/initialized":
		b.order.gate, b.order.then = b.inOrder(a), b.live
		return
	case a.Method == "notifications/cancelled":
		if c := b.cancelled(a.message); c != nil {
			b.withdraw(c, a)
			return
		}
	}
	b.inOrder(a)
}

// start asks the server a request, or refuses it.
func (b *Bridge) start(a arrival) {
	c := newCall(b.ctx, a.message)
	c.key = keyOf(c.ID)
	wrong := a.wrong
	if wrong == nil {
		b.look(c)
		wrong = b.forbidden(a.message)
	}
	if wrong == nil && !b.calls.add(c) {
		wrong = &failure{code: codeInvalid, line: "the id is that of another request that is under way"}
	}
	if wrong != nil {
		c.cancel(nil)
		b.work.Go(func() {
			defer b.in.release(a)
			b.out.write(errorFor(c, wrong))
		})
		return
	}
	if c.Method == "initialize" {
		b.order.gate = c.answered // which it is in the end, whatever happens
	}
	if c.clock != nil {
		b.work.Go(func() { b.watch(c) })
	}
	b.work.Go(func() {
		defer b.in.release(a)
		b.ask(c)
	})
}

// ask asks the server c, and sees to it that it has an answer in the end.
func (b *Bridge) ask(c *call) {
	defer c.cancel(nil)
	err := b.up.ask(c.ctx, c)
	c.left()
	b.calls.forget(c)
	if !b.calls.settle(c) {
		return
	}
	defer c.settle()
	if err != nil {
		b.o.Log.Debug("a request has no response", "method", short(c.Method), "error", err)
	}
	if !c.gone.Load() {
		b.out.write(b.problem(c, err))
	}
}

// reply answers c, which is not pending any more, with f.
func (b *Bridge) reply(c *call, f *failure) {
	defer c.settle()
	if !c.gone.Load() {
		b.out.write(errorFor(c, f))
	}
}

// inOrder tells the server a once what came before has been told: notifications
// follow notifications, and responses follow responses, for which the server
// waits, and which no notification should keep from it. Told is closed when that
// is over.
func (b *Bridge) inOrder(a arrival) (told <-chan struct{}) {
	done, last := make(chan struct{}), &b.notified
	if a.Kind == jsonrpc.Response {
		last = &b.replied
	}
	b.telling.Lock()
	before := *last
	*last = done
	b.telling.Unlock()
	b.work.Go(func() {
		defer close(done)
		if before != nil {
			<-before
		}
		if a.size > 0 { // else it is not the client's
			defer b.in.release(a)
		}
		ctx, cancel := context.WithTimeout(b.ctx, tellLimit)
		defer cancel()
		if err := b.up.tell(ctx, a.message); err != nil {
			b.o.Log.Warn("the server did not take a message of the client", "kind", a.Kind, "method", short(a.Method), "error", err)
		}
	})
	return done
}

// live is called when the server knows that the client is initialized.
func (b *Bridge) live() {
	if b.listening {
		return
	}
	b.listening = true
	b.beside.Go(func() { b.up.listen(b.ctx) })
	b.beside.Go(func() { b.notify(b.ctx) })
}

// look finds out what the bridge has to know of c.
func (b *Bridge) look(c *call) {
	if b.o.ToolTimeout > 0 && c.Method == "tools/call" {
		c.clock = newClock(b.o.ToolTimeout, &b.calls.halt)
	}
	legacy := b.legacy.Load()
	if legacy && c.clock == nil || !bytes.Contains(c.Params, []byte(`_meta`)) && !bytes.Contains(c.Params, []byte(`\u`)) {
		return // which spares it the work
	}
	params, err := jsonrpc.Object(c.Params)
	if err != nil {
		return
	}
	if _, modern := versionIn(params); modern && !legacy {
		c.modern = true
	}
	if c.clock != nil {
		c.token = keyIn(params["_meta"], "progressToken")
	}
}

// forbidden says why m may not be sent. Some servers read names whatever their
// case is: what is another message to them is none that may pass.
func (b *Bridge) forbidden(m message) *failure {
	if b.o.Tools == nil || m.Kind == jsonrpc.Response {
		return nil
	}
	members, err := jsonrpc.Object(m.raw)
	if err != nil || jsonrpc.FoldedTwice(members, "method") || jsonrpc.FoldedTwice(members, "params") {
		return &failure{code: codeInvalid, line: "a name in the message is one of MCP but for its case, so that it cannot be told what it asks for"}
	}
	if m.Method != "tools/call" {
		return nil
	}
	name, ok := toolName(m.Params)
	if ok && b.o.Tools(name) {
		return nil
	}
	return &failure{code: codeParams, line: "Unknown tool: " + oneLine(name)}
}
