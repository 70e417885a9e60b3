package stdio

import (
	"context"
	"time"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// How long the end may take: all of it within a second.
const (
	lastAnswers = 500 * time.Millisecond // for requests under way, at the end of the input
	lastWords   = 100 * time.Millisecond // for their errors to be read
	lastMoment  = 50 * time.Millisecond  // for those to go that waited for somebody to read
	lastRequest = 300 * time.Millisecond // for the server to take its leave
	lastResort  = 5 * time.Second        // for what does not heed its context, and should
)

// finish ends everything, and tells the server. That waits for nobody who takes
// long: whoever ends the bridge may not wait, either.
func (b *Bridge) finish(ctx context.Context) {
	b.stop(errEnding)
	for _, a := range b.order.held {
		if a.Kind == jsonrpc.Request {
			b.work.Go(func() { b.out.write(errorFor(&call{message: a.message}, errUnsent)) })
		}
	}
	over := closedAfter(func() { b.work.Wait(); b.beside.Wait() })
	within(lastWords, over)
	b.out.close()
	within(lastMoment, over)
	b.leave(ctx)
	if !within(lastResort, over) {
		b.o.Log.Warn("a request does not end: it is left behind")
		return
	}
	b.out.wait()
}

func (b *Bridge) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastRequest)
	defer cancel()
	if err := b.up.end(ctx); err != nil {
		b.o.Log.Debug("the server was not told of the end", "error", err)
	}
}

// idle returns what is closed when no request, notification or response is on
// its way. No other may be sent any more.
func (b *Bridge) idle() <-chan struct{} { return closedAfter(b.work.Wait) }

// closedAfter returns what is closed when wait has returned.
func closedAfter(wait func()) <-chan struct{} {
	over := make(chan struct{})
	go func() {
		defer close(over)
		wait()
	}()
	return over
}

// within reports whether over is closed before d has passed.
func within(d time.Duration, over <-chan struct{}) bool {
	late := time.NewTimer(d)
	defer late.Stop()
	select {
	case <-over:
		return true
	case <-late.C:
		return false
	}
}
