package stdio

import (
	"bytes"
	"context"
	"crypto/rand"
	"strconv"
	"sync"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// errand is a request that the client has not sent, or not in this form. What
// comes for it does not belong to the client as it is.
type errand struct {
	// finish gets the response. An error is the errand's outcome.
	finish func(m jsonrpc.Message, raw []byte) error
	// other gets everything else; nil drops it.
	other func(m jsonrpc.Message, raw []byte) error

	once sync.Once
}

// take takes what the server says to an errand.
func (d *errand) take(raw []byte, c *call) error {
	m, err := jsonrpc.Parse(raw)
	switch {
	case err != nil:
		return err
	case m.Kind == jsonrpc.Response && m.ID != nil && keyOf(m.ID) == keyOf(c.ID):
		d.once.Do(func() { err = d.finish(m, raw) })
		c.settle()
		return err
	case m.Kind != jsonrpc.Response && d.other != nil:
		return d.other(m, raw)
	}
	return nil
}

// send runs an errand. It returns once the response has been taken.
func (e *eras) send(ctx context.Context, m message, d *errand) error {
	c := newCall(ctx, m)
	defer c.cancel(nil)
	e.own.Store(c, d)
	defer e.own.Delete(c)
	return e.wire(c.ctx, c)
}

// exchange sends a request of ours and returns the response, which may be an
// error: then it has no result.
func (e *eras) exchange(ctx context.Context, m message) (res jsonrpc.Message, err error) {
	err = e.send(ctx, m, &errand{finish: func(m jsonrpc.Message, raw []byte) error {
		res, err = jsonrpc.Parse(bytes.Clone(raw))
		return err
	}})
	return res, err
}

// newID returns an id for a request of ours, which nobody else uses or guesses.
func (e *eras) newID() []byte {
	return quoted("injectproxy-" + strconv.FormatUint(e.last.Add(1), 10) + "-" + rand.Text())
}
