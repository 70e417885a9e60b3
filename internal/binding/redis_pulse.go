package binding

import (
	"fmt"
	"log/slog"
	"sync"
	"time"
)

const (
	// pause is how long nobody asks a Redis that has not answered.
	pause = 500 * time.Millisecond
	// tellPause is how often the log hears that it does not.
	tellPause = 10 * time.Second
)

// pulse is whether Redis answers. After a question without an answer all others
// fail at once for a pause, and then while one asks whether it does again: one that
// hangs holds no more than those who had asked before, each for a moment.
//
// That it answers one question does not say that sessions can be had: a replica and
// a Redis that is full answer many. So all is well again only when it has done all
// that is asked for a session: see Ping.
type pulse struct {
	log   *slog.Logger
	at    string // host:port
	pause time.Duration

	mu       sync.Mutex
	failures int64
	cause    error     // nil: all is well
	since    time.Time // when it was not for the first time
	next     time.Time // when the next one may be put; zero: at once
	asking   bool      // whether it has been put
	told     time.Time // when the log heard of it
	warned   bool      // the log has not heard since that it answers again
}

// turn is leave to put a question. Its end is told to beat or leave.
type turn bool

// alone is the turn of the one who asks whether Redis answers again.
const alone turn = true

// enter returns a turn, or an error if nothing is to be asked now.
func (p *pulse) enter() (turn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next.IsZero() {
		return !alone, nil
	}
	if p.asking || time.Now().Before(p.next) {
		return !alone, fmt.Errorf("it has just not answered: %w", p.cause)
	}
	p.asking = true
	return alone, nil
}

// leave notes that a question was given up.
func (p *pulse) leave(t turn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over(t)
}

// beat notes what came of a question; whole is that it was all that is ever asked.
func (p *pulse) beat(t turn, whole bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over(t)
	if err != nil {
		p.fail(err)
		return
	}
	if p.next = (time.Time{}); whole {
		p.well()
	}
}

func (p *pulse) up() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cause == nil
}

func (p *pulse) failed() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failures
}

// The rest is called with the lock held.

func (p *pulse) over(t turn) {
	if t == alone {
		p.asking = false
	}
}

func (p *pulse) fail(err error) {
	p.failures++
	now := time.Now()
	if p.cause == nil {
		p.since = now
	}
	said := "Redis refuses what is asked for sessions: some cannot be looked up, or begun"
	if p.cause = err; !ofTheQuestion(err) {
		p.next = now.Add(p.pause)
		said = "sessions cannot be looked up in Redis: their requests are refused"
	}
	if now.Sub(p.told) >= tellPause {
		p.told, p.warned = now, true
		p.log.Warn(said, "redis", p.at, "error", err, "failures", p.failures)
	}
}

func (p *pulse) well() {
	if p.warned {
		p.warned = false
		p.log.Info("Redis answers again", "after", time.Since(p.since).Round(time.Millisecond))
	}
	p.cause = nil
}
