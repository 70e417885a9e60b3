package stdio

import (
	"context"
	"time"
)

// How long the end may take: all of it within a second.
const (
	lastAnswers = 500 * time.Millisecond // for requests under way, at the end of the input
	lastWords   = 100 * time.Millisecond // for their errors to be read
	lastRequest = 300 * time.Millisecond // for the server to take its leave
	lastResort  = 5 * time.Second        // for what does not heed its context, and should
)

// finish ends everything, and tells the server.
func (b *Bridge) finish(ctx context.Context) {
	b.stop(errEnding)
	for _, a := range b.order.held {
		if a.ID != nil && a.calls > 0 {
			b.work.Go(func() { b.out.write(errorFor(&call{message: a.message}, errUnsent)) })
		}
	}
	over := b.idle()
	t := time.NewTimer(lastWords)
	defer t.Stop()
	select {
	case <-over:
	case <-t.C: // nobody reads
	}
	b.out.close()
	select {
	case <-over:
	case <-time.After(lastResort):
		b.o.Log.Warn("a request does not end: it is left behind, and the server is not told of the end")
		return
	}
	b.beside.Wait()
	b.out.wait()
	b.leave(ctx)
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
func (b *Bridge) idle() <-chan struct{} {
	over := make(chan struct{})
	go func() {
		defer close(over)
		b.work.Wait()
	}()
	return over
}
