package stdio

import (
	"encoding/json"
	"time"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// lastGrace is how long a call that was cancelled may take to end by itself.
const lastGrace = 5 * time.Second

// cancelled returns the call that a notifications/cancelled of the client's
// names, nil if none such is pending.
func (b *Bridge) cancelled(m message) *call {
	return b.calls.get(keyIn(m.Params, "requestId"))
}

// withdraw ends c because the client has said so by a, which goes to the server
// unless that knows by the end of the POST. The client waits for no response, but
// is given the one that is on its way.
func (b *Bridge) withdraw(c *call, a arrival) {
	c.gone.Store(true)
	if c.modern || c.Method == "initialize" { // which MCP lets nobody cancel: it is given up
		c.cancel(errWithdrawn)
		b.in.release(a)
		return
	}
	select {
	case <-c.sent: // in its turn
		told := b.inOrder(a)
		b.work.Go(func() { b.giveUp(c, told, errWithdrawn) })
	default:
		b.work.Go(func() { b.giveUp(c, b.afterwards(c, a), errWithdrawn) })
	}
}

// afterwards tells the server a once it has been sent c, as far as that happens.
func (b *Bridge) afterwards(c *call, a arrival) (told <-chan struct{}) {
	select {
	case <-c.sent:
	case <-c.ctx.Done():
	case <-time.After(lastGrace): // it waits for a token, or for a connection
		c.cancel(errWithdrawn)
		<-c.sent
	}
	return b.inOrder(a)
}

// giveUp closes what is left of c, soon after the server was told.
func (b *Bridge) giveUp(c *call, told <-chan struct{}, why error) {
	t := time.NewTimer(lastGrace)
	defer t.Stop()
	for range 2 {
		select {
		case <-told:
			told = nil
		case <-t.C:
		case <-c.ctx.Done():
			return
		}
	}
	c.cancel(why)
}

// watch ends c when its clock has run out.
func (b *Bridge) watch(c *call) {
	if !c.clock.runsOut(c.ctx) {
		return
	}
	f := &failure{code: codeOurs, line: "the tool gave no sign of life for " + c.clock.limit.String() +
		", so the call was cancelled: it may have been carried out. Hint: --tool-timeout allows more time"}
	if !b.calls.settle(c) {
		return
	}
	b.work.Go(func() { b.reply(c, f) }) // which may take the client a while
	if c.modern || c.gone.Load() {
		c.cancel(f)
		return
	}
	b.o.Log.Warn("a tool gave no sign of life: its call is cancelled", "limit", c.clock.limit)
	raw, _ := json.Marshal(map[string]any{
		"jsonrpc": "2.0", "method": "notifications/cancelled",
		"params": map[string]any{"requestId": c.ID, "reason": "no sign of life for " + c.clock.limit.String()},
	})
	m := jsonrpc.Message{Kind: jsonrpc.Notification, Method: "notifications/cancelled"}
	told := b.afterwards(c, arrival{message: message{m, raw}})
	select {
	case <-told:
	case <-b.ctx.Done():
	}
	c.cancel(f)
}
