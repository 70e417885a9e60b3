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
type pulse struct {
	log   *slog.Logger
	pause time.Duration

	mu       sync.Mutex
	failures int64
	cause    error     // nil: the last question was answered
	since    time.Time // when it was not for the first time
	next     time.Time // when the next one may be put; zero: at once
	asking   bool      // whether it has been put
	told     time.Time // when the log heard of it
	warned   bool      // the log has not heard since that it answers again
}

// enter is an error if nothing is to be asked now. Else the end of the question is
// told to beat or leave.
func (p *pulse) enter() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next.IsZero() {
		return nil
	}
	if p.asking || time.Now().Before(p.next) {
		return fmt.Errorf("it has just not answered: %w", p.cause)
	}
	p.asking = true
	return nil
}

// leave notes that a question was given up.
func (p *pulse) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asking = false
}

// beat notes what came of a question.
func (p *pulse) beat(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asking = false
	if err == nil {
		p.answered()
		return
	}
	p.failures++
	now := time.Now()
	if p.cause == nil {
		p.since = now
	}
	if p.cause = err; !ofTheQuestion(err) {
		p.next = now.Add(p.pause)
	}
	if now.Sub(p.told) >= tellPause {
		p.told, p.warned = now, true
		p.log.Warn("sessions cannot be looked up in Redis: their requests are refused", "error", err, "failures", p.failures)
	}
}

// answered is called with the lock held.
func (p *pulse) answered() {
	if p.warned {
		p.warned = false
		p.log.Info("Redis answers again", "after", time.Since(p.since).Round(time.Millisecond))
	}
	p.cause, p.next = nil, time.Time{}
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
