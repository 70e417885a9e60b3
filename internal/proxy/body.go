package proxy

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// bodyWatch remembers whether reading the client's body failed, so that its
// error is not taken for the upstream's, and cleans the trailers behind it.
type bodyWatch struct {
	io.ReadCloser
	trailer *trailer
	failed  atomic.Pointer[error] // set by the upstream leg's writer, read by the handler
	ended   atomic.Bool           // likewise: all of it has been read
	waiting atomic.Int32          // who reads at the moment
	use     sync.RWMutex          // held by whoever reads
	closed  atomic.Bool           // nobody may any more
}

// watch returns the body of r, nil for a request without one.
func watch(r *http.Request) *bodyWatch {
	if r.ContentLength == 0 || r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	return &bodyWatch{ReadCloser: r.Body, trailer: screenTrailer(r.Trailer)}
}

// release waits until nobody uses the body, after interrupt has ended whatever
// they wait for, and keeps it so.
func (b *bodyWatch) release(interrupt func()) {
	b.closed.Store(true)
	interrupt()
	b.use.Lock()
	defer b.use.Unlock()
}

// Close ends the reading, and leaves the client's body open: that is
// net/http's, which would read what is left of it first. A Transport closes
// what it sends as soon as it is answered, when a client that waits for 100 may
// not have begun.
func (b *bodyWatch) Close() error {
	b.closed.Store(true)
	return nil
}

func (b *bodyWatch) Read(p []byte) (int, error) {
	b.use.RLock()
	defer b.use.RUnlock()
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	if b.ended.Load() {
		// net/http closes a body that it has seen end. A Transport that looks
		// for the end once more would give up its connection over that.
		return 0, io.EOF
	}
	b.waiting.Add(1)
	n, err := b.ReadCloser.Read(p)
	b.waiting.Add(-1)
	if err == io.EOF {
		b.trailer.ended()
		b.ended.Store(true)
	} else if err != nil && !errors.Is(err, http.ErrBodyReadAfterClose) {
		b.failed.Store(&err)
	}
	return n, err
}
