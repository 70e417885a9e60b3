package stdio

import (
	"context"
	"sync"
	"time"
)

// clock measures how long a call has been without a sign of life. A nil one
// never runs out.
type clock struct {
	limit time.Duration

	mu     sync.Mutex
	last   time.Time // of the last sign
	asking int       // requests of the server's that wait for the client
}

func newClock(limit time.Duration) *clock { return &clock{limit: limit, last: time.Now()} }

// touch takes note of a sign of life.
func (k *clock) touch() {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.last = time.Now()
}

// hold stops the clock, until resume has been called as often.
func (k *clock) hold() { k.ask(1) }

func (k *clock) resume() { k.ask(-1) }

func (k *clock) ask(n int) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asking += n
	k.last = time.Now()
}

// left returns how long there is at least until it runs out.
func (k *clock) left() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.asking > 0 {
		return k.limit
	}
	return k.limit - time.Since(k.last)
}

// runsOut waits until the clock has run out, or ctx is done.
func (k *clock) runsOut(ctx context.Context) bool {
	t := time.NewTimer(k.limit)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-t.C:
		}
		d := k.left()
		if d <= 0 {
			return true
		}
		t.Reset(d)
	}
}
