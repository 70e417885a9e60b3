package session

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// How tries to open a leg follow each other.
const (
	firstWait = 250 * time.Millisecond // doubled after each that failed; also the least between two
	mostWait  = 10 * time.Second
	proof     = 5 * time.Second // a leg that stood so long was a good one
	politely  = time.Second     // between a leg that was over at once, whatever it said, and the next
)

// pace says when the next leg may be opened.
type pace struct {
	retry  time.Duration // the server's own wish, of the stream's retry field
	after  time.Duration // that of its last refusal
	step   time.Duration // what the failures so far ask for
	opened time.Time     // the last try
}

// ended says that a leg has ended, clean if the server meant it to.
func (p *pace) ended(clean, proved bool, stood time.Duration) {
	good := proved || stood >= proof
	if good {
		p.step = 0
	}
	if !clean || !good {
		p.double()
	}
	if good && stood < politely && p.retry == 0 {
		p.step = politely // it says a little at a time, for as long as it is asked
	}
	p.after = 0
}

// failed says that a try has, and what the server asked for.
func (p *pace) failed(after time.Duration) {
	p.double()
	p.after = after
}

// hurry says that what was waited for has happened.
func (p *pace) hurry() { p.step, p.after, p.retry = 0, 0, 0 }

func (p *pace) double() { p.step = min(max(firstWait, 2*p.step), mostWait) }

// wait returns how long to wait now, light at most unless that is 0.
func (p *pace) wait(light time.Duration) time.Duration {
	if light <= 0 {
		light = mostWait
	}
	jitter := time.Duration((0.8 + 0.4*rand.Float64()) * float64(p.step)) // #nosec G404 -- to spread clients, not to be unguessable
	d := min(max(jitter, p.retry, p.after), light)
	return max(d, min(firstWait, light)-time.Since(p.opened))
}

// retryAfter reads the field of RFC 9110, section 10.2.3.
func retryAfter(h http.Header) time.Duration {
	value := h.Get("Retry-After")
	if s, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(s) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return time.Until(at)
	}
	return 0
}
