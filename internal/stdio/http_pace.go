package stdio

import (
	"math/rand/v2"
	"time"
)

// How tries to open a stream follow each other.
const (
	firstPause = time.Second            // doubled after each that failed
	leastPause = 250 * time.Millisecond // whatever the server wishes
	mostPause  = 30 * time.Second
	stood      = 5 * time.Second // a stream that stood so long was a good one
)

// pace says when the next stream may be asked for.
type pace struct {
	said  bool
	retry time.Duration // the server's own wish, of the stream's retry field
	after time.Duration // that of its last refusal
	step  time.Duration // what the failures so far ask for
}

// well says that a stream was a good one.
func (p *pace) well() { p.step, p.after = 0, 0 }

// failed says that a try has failed, and what the server asked for.
func (p *pace) failed(after time.Duration) {
	p.step, p.after = min(2*max(p.step, firstPause), mostPause), after
}

// wait returns how long to wait now. The server's wish is met to the point
// while nothing has failed: it is how servers have themselves polled.
func (p *pace) wait() time.Duration {
	step := p.step
	if step == 0 && !p.said {
		step = firstPause
	}
	jitter := time.Duration((0.8 + 0.4*rand.Float64()) * float64(step)) // #nosec G404 -- to spread clients, not to be unguessable
	return max(jitter, p.retry, min(p.after, 10*mostPause), leastPause)
}
