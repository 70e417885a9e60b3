package proxy

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// patience is how long the beginning of an answer may wait for what comes
// behind it. What is there by then goes out in one piece, and costs one record
// and one system call where it would have cost two.
const patience = time.Millisecond

// copy sends the body of res, whose header was written. Nothing that has come
// is held back for longer than [patience]: of an answer the header waits so
// for the first bytes, and where the length is known the last bytes for the
// end; what comes between is sent on at once.
func (w *response) copy(req *http.Request, res *http.Response) error {
	if res.Body == http.NoBody {
		return nil
	}
	c := couriers.Get().(*courier)
	defer c.release()
	c.to = w
	// A header that ends the stream by itself, as gRPC's errors do, must not
	// be torn from its end.
	c.held = res.ContentLength != 0 && req.Method != http.MethodHead
	return c.copy(res.Body, res.ContentLength)
}

var couriers = sync.Pool{New: func() any { return new(courier) }}

// courier carries a body to a client.
type courier struct {
	window
	to   *response
	held bool // something that was written has not been flushed

	mu    sync.Mutex
	armed bool // the timer may flush
	timer *time.Timer
}

// copy sends body on, of which left bytes are to come, or -1 where nobody
// knows.
func (c *courier) copy(body io.Reader, left int64) error {
	buf := c.begin(left)
	for {
		n, err := c.read(body, buf)
		if n > 0 {
			if _, err := c.to.Write(buf[:n]); err != nil {
				return err
			}
			c.held = true
			if left > 0 {
				left -= int64(n)
			}
		}
		if err == io.EOF {
			return nil
		}
		if c.held && (left != 0 || err != nil) { // also what came before an end that is none
			if err := c.to.flush(); err != nil {
				return err
			}
			c.held = false
		}
		if err != nil {
			return err
		}
		buf = c.fit(n)
	}
}

// read reads from body. What is held goes out when that takes long.
func (c *courier) read(body io.Reader, p []byte) (int, error) {
	if !c.held {
		return body.Read(p)
	}
	c.arm()
	defer c.disarm() // also when Read panics: nobody may flush then
	return body.Read(p)
}

func (c *courier) arm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed = true
	if c.timer == nil {
		c.timer = time.AfterFunc(patience, c.late)
	} else {
		c.timer.Reset(patience)
	}
}

// disarm waits for a flush that has begun.
func (c *courier) disarm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed = false
	c.timer.Stop()
}

func (c *courier) late() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.armed {
		c.armed = false
		c.held = c.to.flush() != nil // the next write finds the error
	}
}

func (c *courier) release() {
	c.window.release()
	c.to, c.timer = nil, nil
	couriers.Put(c)
}

// flush sends what was written. It is not counted as the answer's beginning:
// its header was written before.
func (w *response) flush() error {
	if f, ok := w.ResponseWriter.(interface{ FlushError() error }); ok {
		return f.FlushError()
	}
	return http.ErrNotSupported
}
