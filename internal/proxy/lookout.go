package proxy

import (
	"os"
	"sync"
	"time"
)

// lookout puts off net/http's look for the end of a client that waits for its
// answer. While a handler runs, the server reads one byte of the connection in
// a goroutine of its own, and interrupts it when the answer is sent. Most
// answers are there before that read could have told of anything; it costs a
// system call, and under TLS the growth of a fresh stack, for nothing.
//
// Its zero value is ready for use. One goroutine at a time may wait.
type lookout struct {
	mu      sync.Mutex
	expired bool // the deadline of reads is over
	waiting bool
	over    chan struct{} // tells who waits; holds one
	timer   *time.Timer
}

// calm is how long a client that has left may go unnoticed.
const calm = 20 * time.Millisecond

// wait returns after [calm], or with an error as soon as the deadline of reads
// is over.
func (l *lookout) wait() error {
	if !l.begin() {
		return os.ErrDeadlineExceeded
	}
	select {
	case <-l.over:
		l.timer.Stop()
		return os.ErrDeadlineExceeded
	case <-l.timer.C:
		l.end()
		return nil
	}
}

func (l *lookout) begin() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.expired {
		return false
	}
	if l.timer == nil {
		l.timer, l.over = time.NewTimer(calm), make(chan struct{}, 1)
	} else {
		l.timer.Reset(calm)
	}
	l.waiting = true
	return true
}

// end is said by who has waited long enough, and leaves no word behind.
func (l *lookout) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.waiting {
		<-l.over
	}
	l.waiting = false
}

// deadline says that reads end at t.
func (l *lookout) deadline(t time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expired = !t.IsZero() && !t.After(time.Now())
	if l.expired && l.waiting {
		l.waiting = false
		l.over <- struct{}{}
	}
}

// SetReadDeadline implements net.Conn.
func (c *http1Conn) SetReadDeadline(t time.Time) error {
	err := c.Conn.SetReadDeadline(t)
	c.lookout.deadline(t)
	return err
}
