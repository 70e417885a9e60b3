package stdio

import (
	"context"
	"net/http"
	"sync"
)

// choose returns the way to the server. How the server wants to be spoken to is
// found out by the first request that asks for a session, and holds from then on.
func choose(o Options, deliver func(raw []byte, on *call) error) upstream {
	if o.Transport == SSE {
		return newSSE(o, deliver)
	}
	first := newEras(o, deliver)
	return &choice{o: o, deliver: deliver, first: first, now: first, made: make(chan struct{})}
}

// choice is an upstream that is not decided upon before the server has shown
// what it is. Until then everything goes by streamable HTTP.
type choice struct {
	o       Options
	deliver func(raw []byte, on *call) error
	first   upstream

	made chan struct{} // closed when there is a choice

	mu      sync.Mutex
	now     upstream // what is tried, then what has been chosen
	decided bool
}

// way returns how to go on. While a session begins that is the way which is
// tried: the client may have the answer, and go on, before ask has returned.
func (x *choice) way() (up upstream, decided bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.now, x.decided
}

func (x *choice) try(up upstream) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.now = up
}

// decide holds for the process.
func (x *choice) decide() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.decided {
		x.decided = true
		close(x.made)
	}
}

// ask implements [upstream].
func (x *choice) ask(ctx context.Context, c *call) error {
	up, decided := x.way()
	err := up.ask(ctx, c)
	if decided || !isInitialize(c.message) {
		return err
	}
	r, refused := err.(*refusal) // itself: what has one for its cause is not the answer to this request
	switch {
	case err == nil:
		x.decide()
		return nil
	case refused && x.o.Transport == Auto && older(r.status) && !modernRefusal(r) && ctx.Err() == nil:
		return x.fall(ctx, c, r)
	}
	return err
}

// older reports whether a server of MCP 2024-11-05 may answer so to a POST where
// it expects a GET ("Backwards Compatibility" of the transports).
func older(status int) bool {
	return status == http.StatusBadRequest || status == http.StatusNotFound || status == http.StatusMethodNotAllowed
}

// fall sends by the older transport what the server has refused by the newer.
func (x *choice) fall(ctx context.Context, c *call, first *refusal) error {
	up := newSSE(x.o, x.deliver)
	x.try(up)
	err := up.ask(ctx, c)
	if err == nil {
		x.decide()
		return nil
	}
	x.try(x.first)
	_ = up.end(ctx) // of a stream alone: there is nothing to tell the server
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return neither(x.o, first, err)
}

// tell implements [upstream].
func (x *choice) tell(ctx context.Context, m message) error {
	up, _ := x.way()
	return up.tell(ctx, m)
}

// listen implements [upstream]. It waits for the choice: a session may begin
// only after a first try that failed.
func (x *choice) listen(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-x.made:
	}
	up, _ := x.way()
	up.listen(ctx)
}

// end implements [upstream].
func (x *choice) end(ctx context.Context) error {
	up, _ := x.way()
	return up.end(ctx)
}
