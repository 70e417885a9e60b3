package stdio

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
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

	once  sync.Once
	wrong error // the outcome, if the response is no message
}

// take takes what the server says to an errand. An error without an id can only
// be for it, as in [Bridge.respond].
func (d *errand) take(raw []byte, c *call) error {
	m, raw, err := parse(raw)
	switch {
	case err != nil:
		f := misspoke(err)
		if json.Valid(raw) {
			if id, ok := glanceAt(raw).response(); ok && keyOf(id) == keyOf(c.ID) {
				d.once.Do(func() { d.wrong = f })
				c.settle()
			}
		}
		return f
	case m.Kind == jsonrpc.Response && (m.ID == nil && m.Result == nil || m.ID != nil && keyOf(m.ID) == keyOf(c.ID)):
		d.once.Do(func() { err = d.finish(m, raw) })
		c.settle()
		return err
	case m.Kind != jsonrpc.Response && d.other != nil:
		return d.other(m, raw)
	}
	return nil
}

// misspoke says that what came is no message, for which err is the reason.
func misspoke(err error) *failure {
	return &failure{code: codeOurs, line: "the server sent what is not a JSON-RPC message: is the URL that of an MCP endpoint?", err: err}
}

// send runs an errand. It returns once the response has been taken.
func (e *eras) send(ctx context.Context, m message, d *errand) error {
	c := newCall(ctx, m)
	defer c.cancel(nil)
	e.own.Store(c, d)
	defer e.own.Delete(c)
	err := e.wire(c.ctx, c)
	if d.wrong != nil {
		return d.wrong
	}
	return err
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
