package stdio

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
)

// call is a request of the client's that is under way.
type call struct {
	message
	key    string // of its id
	modern bool   // of a protocol without sessions, 2026-07-28 and later: closing its POST cancels it

	ctx    context.Context // ends when nobody waits for the response; its cause says why
	cancel context.CancelCauseFunc

	clock *clock // nil: it may take as long as it likes
	token string // the key of its progress token; "": it has none

	gone atomic.Bool // the client has withdrawn it: it waits for no response

	once     sync.Once
	sent     chan struct{} // closed when the server has been sent it, or it is over
	settled  sync.Once
	answered chan struct{} // closed when the client has been written the response: what else comes has no call any more
}

func newCall(ctx context.Context, m message) *call {
	c := &call{message: m, sent: make(chan struct{}), answered: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	return c
}

// left notes that the request has left for the server: what concerns it may
// follow. It may be called more than once.
func (c *call) left() { c.once.Do(func() { close(c.sent) }) }

// touch takes note of a sign of life of c, which may be nil.
func (c *call) touch() {
	if c != nil {
		c.clock.touch()
	}
}

// settle notes that the client has the response, whoever gave it. It may be
// called more than once.
func (c *call) settle() { c.settled.Do(func() { close(c.answered) }) }

func statusText(status int) string {
	if text := http.StatusText(status); text != "" {
		return strconv.Itoa(status) + " " + text
	}
	return strconv.Itoa(status)
}
