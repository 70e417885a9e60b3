package source

import (
	"context"
	"sync"
	"time"
)

// calls runs functions that do not heed their context, so many at once.
type calls struct {
	ctx   context.Context // ends with close
	stop  context.CancelFunc
	slots chan struct{} // one for each function that runs
	once  sync.Once
}

func newCalls(n int) *calls {
	c := &calls{slots: make(chan struct{}, n)}
	c.ctx, c.stop = context.WithCancel(context.Background())
	return c
}

// await runs f in a goroutine and returns what f does. It reports false when
// ctx or c ends before that; f's context ends then, and its goroutine when f
// has noticed.
func await[T any](ctx context.Context, c *calls, f func(context.Context) T) (result T, ok bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()

	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return result, false
	}
	done := make(chan T, 1)
	go func() {
		defer func() { <-c.slots }()
		done <- f(ctx)
	}()
	select {
	case result = <-done:
		return result, true
	case <-ctx.Done():
		return result, false
	}
}

// close ends what runs and waits for it, at most so long; 0 is without end.
// Nothing runs afterwards that did not before.
func (c *calls) close(limit time.Duration) {
	c.once.Do(func() {
		c.stop()
		var late <-chan time.Time
		if limit > 0 {
			t := time.NewTimer(limit)
			defer t.Stop()
			late = t.C
		}
		for range cap(c.slots) {
			select {
			case c.slots <- struct{}{}: // kept: nothing begins again
			case <-late:
				return
			}
		}
	})
}
