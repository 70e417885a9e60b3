package stdio

import (
	"context"
	"net/http"
	"strconv"
	"sync"
)

// call is a request of the client's that is under way.
type call struct {
	message
	ctx    context.Context // ends when nobody waits for the response
	cancel context.CancelCauseFunc

	once sync.Once
	sent chan struct{} // closed when the server has been sent it, or it is over
}

func newCall(ctx context.Context, m message) *call {
	c := &call{message: m, sent: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	return c
}

// left notes that the request has left for the server: what concerns it may
// follow. It may be called more than once.
func (c *call) left() { c.once.Do(func() { close(c.sent) }) }

func statusText(status int) string {
	if text := http.StatusText(status); text != "" {
		return strconv.Itoa(status) + " " + text
	}
	return strconv.Itoa(status)
}
