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

	last  time.Time     // of the last sign of life, under all.mu
	stood time.Duration // what all had stood by then, likewise
	asked int           // requests of the server's on the call's stream that wait for the client, likewise
}

// mostHalt is how long all clocks stand still at most for one thing that the
// client is asked: it may never reply.
const mostHalt = 10 * time.Minute

// halt is when all clocks stand still: while the client is asked something of
// which nobody can tell to which call it belongs. The zero value is ready.
type halt struct {
	mu    sync.Mutex
	asked int
	since time.Time
	total time.Duration // before since
}

func newClock(limit time.Duration, all *halt) *clock {
	k := &clock{limit: limit, all: all}
	k.touch()
	return k
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
	k.last, k.stood = time.Now(), k.all.stood()
}

// wait is that of all clocks. It is no sign of life for any.
func (h *halt) wait(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.total, h.since = h.stood(), time.Now()
	h.asked += n
}

func (h *halt) stood() time.Duration {
	if h.asked == 0 {
		return h.total
	}
	return h.total + min(time.Since(h.since), mostHalt)
}

// left returns how long there is at least until the clock runs out: it is to be
// asked again then.
func (k *clock) left() time.Duration {
	k.all.mu.Lock()
	defer k.all.mu.Unlock()
	if k.asked > 0 {
		return k.limit
	}
	left := k.limit - (time.Since(k.last) - (k.all.stood() - k.stood))
	if k.all.asked > 0 && time.Since(k.all.since) < mostHalt {
		left = max(left, min(time.Second, k.limit)) // it stands still
	}
	return left
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
