package telemetry

import (
	"math"
	"strconv"
	"time"
)

const (
	recentStep  = 5 * time.Second
	recentSteps = int(15 * time.Minute / recentStep)
	dayStep     = 5 * time.Minute
	daySteps    = int(24 * time.Hour / dayStep)
)

// window is a stretch of time that moves on, in steps. It is not safe for
// concurrent use.
type window struct {
	step  time.Duration
	at    int64  // the step that now is in, counted from 1970
	ahead int64  // how far at is ahead of the clock, which was set back so far
	steps []step // a ring, at in it modulo its length; nil until there is something to note
}

// step is what happened in one step. Its waits are kept when it is used again.
type step struct {
	requests, failures uint32
	waits              *waits
}

// length is how many steps a window has: those that it shows, and the one that
// is not over.
func (w *window) length() int64 {
	if w.step == recentStep {
		return int64(recentSteps) + 1
	}
	return int64(daySteps) + 1
}

// note counts a request. A negative wait is that of one without an answer.
func (w *window) note(now time.Time, failed bool, wait time.Duration) {
	if w.steps == nil {
		w.steps = make([]step, w.length())
	}
	w.move(now)
	s := &w.steps[w.at%w.length()]
	s.requests++
	if failed {
		s.failures++
	}
	if wait < 0 {
		return
	}
	if s.waits == nil {
		s.waits = new(waits)
	}
	s.waits.note(wait)
}

// move makes now's step the current one. Where the clock was set back time goes
// on from where it was.
func (w *window) move(now time.Time) {
	to := now.UnixNano()/int64(w.step) + w.ahead
	if w.at-to > 1 {
		w.ahead += w.at - to
		to = w.at
	}
	if to-w.at > w.length() {
		w.at = to - w.length()
	}
	for w.at < to {
		w.at++
		s := &w.steps[w.at%w.length()]
		s.requests, s.failures = 0, 0
		if s.waits != nil {
			clear(s.waits[:])
		}
	}
}

// plot returns all steps but the one that is not over.
func (w *window) plot(r Rule, now time.Time) RulePlot {
	p := RulePlot{Rule: r}
	if w.steps == nil {
		return p
	}
	w.move(now)
	n := w.length()
	var asked uint64
	perSecond := func(n uint32) Reading { return Reading(float64(n) / w.step.Seconds()) }
	for i := w.at - n + 1; i < w.at; i++ {
		s := &w.steps[(i+n)%n]
		asked += uint64(s.requests)
		p.Requests, p.Failures = append(p.Requests, perSecond(s.requests)), append(p.Failures, perSecond(s.failures))
		p.P50, p.P95 = append(p.P50, s.waits.quantile(0.5)), append(p.P95, s.waits.quantile(0.95))
	}
	if asked == 0 {
		return RulePlot{Rule: r}
	}
	return p
}

// waits counts durations by size: two classes to each doubling, from 1 ms to
// four minutes.
type waits [36]uint32

func (w *waits) note(d time.Duration) {
	class := 0
	if ms := float64(d) / float64(time.Millisecond); ms > 1 {
		class = min(int(2*math.Log2(ms)), len(w)-1)
	}
	w[class]++
}

// quantile returns the milliseconds that the part q of all durations did not
// exceed, to within a fifth, or NaN if there are none.
func (w *waits) quantile(q float64) Reading {
	if w == nil {
		return nan
	}
	var all uint32
	for _, n := range w {
		all += n
	}
	if all == 0 {
		return nan
	}
	rank, below := q*float64(all), 0.0
	for class, n := range w {
		if n > 0 && below+float64(n) >= rank {
			return Reading(math.Exp2((float64(class) + (rank-below)/float64(n)) / 2))
		}
		below += float64(n)
	}
	return nan
}

func appendReading(b []byte, v float64) []byte {
	if math.IsNaN(v) {
		return append(b, "null"...)
	}
	return strconv.AppendFloat(b, v, 'g', 3, 64)
}
