package stdio

import (
	"context"
	"sync"
	"time"
)

// clock measures how long a call has been without a sign of life. It stands
// still while the server waits for the client. A nil one never runs out.
type clock struct {
	limit time.Duration
	all   *halt // of every clock

	last  time.Time // of the last sign of life, under all.mu
	asked int       // requests of the server's on the call's stream that wait for the client, likewise
}

// halt is what the clocks of all calls have in common: the requests of the
// server's of which nobody can tell to which call they belong. The zero value is
// ready.
type halt struct {
	mu    sync.Mutex
	asked int
	last  time.Time // when there were none any more
}

func newClock(limit time.Duration, all *halt) *clock {
	return &clock{limit: limit, all: all, last: time.Now()}
}

// touch takes note of a sign of life.
func (k *clock) touch() { k.wait(0) }

// wait takes note that n more requests of the server's wait for the client.
func (k *clock) wait(n int) {
	if k == nil {
		return
	}
	k.all.mu.Lock()
	defer k.all.mu.Unlock()
	k.asked += n
	k.last = time.Now()
}

func (p *halt) wait(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked += n
	p.last = time.Now()
}

// left returns how long there is at least until the clock runs out.
func (k *clock) left() time.Duration {
	k.all.mu.Lock()
	defer k.all.mu.Unlock()
	if k.asked+k.all.asked > 0 {
		return k.limit
	}
	last := k.last
	if k.all.last.After(last) {
		last = k.all.last
	}
	return k.limit - time.Since(last)
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
