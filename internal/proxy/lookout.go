package proxy

import (
	"context"
	"net"
	"sync"
	"time"
)

// lookout puts off the look for the end of a client that waits for its answer.
// While a handler runs, net/http reads one byte of the connection in a
// goroutine of its own, and interrupts it when the answer is sent. Most answers
// are there before that could have told of anything, and it costs system calls,
// changes of deadlines and of goroutines for nothing.
//
// Here that read returns at once, with nothing, and a handler that runs for
// longer than [calm] is given one of ours. A read that net/http begins later
// than that, behind a long upload, is left to it.
//
// Its zero value is ready for use.
type lookout struct {
	mu       sync.Mutex
	serving  bool          // a handler runs
	asked    bool          // net/http has looked; what was read so far are whole requests
	late     bool          // the handler has run for calm, and net/http has not looked
	watch    chan struct{} // closed at the end of our read, nil without one
	stopping bool          // the handler has ended: so does our read
	ahead    []byte        // what our read brought, of the next request
	timer    *time.Timer
}

// calm is how long a client that has left may go unnoticed.
const calm = 20 * time.Millisecond

// putOff reports whether net/http's look is to find nothing.
func (l *lookout) putOff() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = !l.late
	return l.asked
}

// take reads what a look has brought, 0 bytes where there is nothing, for a
// reader who goes on to read the connection then.
func (l *lookout) take(p []byte) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = false
	n := copy(p, l.ahead)
	l.ahead = l.ahead[n:]
	return n
}

// begin is said when a handler begins to run.
func (c *http1Conn) begin() {
	l := &c.lookout
	l.mu.Lock()
	defer l.mu.Unlock()
	l.serving = true
	if l.timer == nil {
		l.timer = time.AfterFunc(calm, c.look)
	} else {
		l.timer.Reset(calm)
	}
}

// end is said when the handler has ended, or has taken the connection over.
// Behind it nobody but the caller reads.
func (c *http1Conn) end() {
	l := &c.lookout
	l.mu.Lock()
	l.timer.Stop()
	l.serving, l.asked, l.late = false, false, false
	watch := l.watch
	l.stopping = watch != nil
	l.mu.Unlock()
	if watch != nil {
		c.Conn.SetReadDeadline(time.Unix(1, 0))
		<-watch
		c.Conn.SetReadDeadline(time.Time{})
	}
}

// look waits for the client's end, or the next request, while a handler runs.
func (c *http1Conn) look() {
	if !c.lookout.start() {
		return
	}
	var b [1]byte
	n, err := c.Conn.Read(b[:])
	l := &c.lookout
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ahead = append(l.ahead, b[:n]...)
	if err != nil && !(l.stopping && isTimeout(err)) {
		c.leave() // as net/http has it
	}
	close(l.watch)
	l.watch, l.stopping = nil, false
}

// start reports whether it is time to look.
func (l *lookout) start() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.serving || l.watch != nil || len(l.ahead) > 0 {
		return false
	}
	if !l.asked {
		l.late = true
		return false
	}
	l.asked, l.watch = false, make(chan struct{})
	return true
}

// withHTTP1 returns a context for the requests of c that ends when its client
// is found to have left.
func withHTTP1(ctx context.Context, c net.Conn) context.Context {
	h, ok := c.(*http1Conn)
	if !ok {
		return ctx
	}
	ctx, h.leave = context.WithCancel(ctx)
	return context.WithValue(ctx, http1Key{}, h)
}

// release is said when the handler has ended. A connection that it took over is
// never closed as this one.
func (c *http1Conn) release() {
	c.end()
	if c.taken {
		c.leave()
	}
}

// takenOver returns what is below c for a handler that takes it over, and what
// was read of it and is in no buffer.
func (c *http1Conn) takenOver() (net.Conn, []byte) {
	c.end()
	c.taken = true
	return c.Conn, c.lookout.ahead
}

// Close implements net.Conn.
func (c *http1Conn) Close() error {
	if c.leave != nil {
		c.leave()
	}
	return c.Conn.Close()
}
