package gate

import (
	"net/http"
	"sync"
	"time"
)

const (
	// stalled is how long a client may take nothing of an answer.
	stalled = 2 * time.Minute
	// lookAgain is how often it is asked whether one that takes nothing has had
	// its time for another reason.
	lookAgain = 5 * time.Second
)

// outlet is the way of an answer's body to the client. A client that does not read
// holds it for no longer than it may: a write that is under way is broken off.
type outlet struct {
	w  http.ResponseWriter
	rc *http.ResponseController
	// over reports whether the client's time is over, after a write has taken so
	// long.
	over func(blocked time.Duration) bool

	mu    sync.Mutex
	since time.Time // when the write began; zero: there is none
	look  *time.Timer
}

// outlet returns the way to the client.
func (g *Gate) outlet(x *exchange) *outlet {
	o := &outlet{w: x.w, rc: http.NewResponseController(x.w)}
	end, held := time.Time{}, false
	if x.seen.Stream {
		end, held = x.until(), x.r.Method == http.MethodGet
	}
	o.over = func(blocked time.Duration) bool {
		return blocked >= stalled || !end.IsZero() && time.Now().Round(0).After(end) || held && g.drains()
	}
	o.look = time.AfterFunc(time.Hour, o.watch)
	o.look.Stop()
	return o
}

// send writes p, and everything before it if flush says so.
func (o *outlet) send(p []byte, flush bool) error {
	o.mark(time.Now(), lookAgain)
	defer o.mark(time.Time{}, 0)
	if len(p) > 0 {
		if _, err := o.w.Write(p); err != nil {
			return err
		}
	}
	if flush {
		return o.rc.Flush()
	}
	return nil
}

func (o *outlet) mark(since time.Time, look time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since = since; since.IsZero() {
		o.look.Stop()
		return
	}
	o.look.Reset(look)
}

// watch breaks a write off whose client has had its time.
func (o *outlet) watch() {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.since.IsZero():
	case o.over(time.Since(o.since)):
		_ = o.rc.SetWriteDeadline(time.Unix(1, 0))
	default:
		o.look.Reset(lookAgain)
	}
}

// drains reports whether Shutdown has begun.
func (g *Gate) drains() bool {
	select {
	case <-g.draining:
		return true
	default:
		return false
	}
}
