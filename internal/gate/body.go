package gate

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// bodyPatience is how long a client may send nothing of a body that is read.
	bodyPatience = 30 * time.Second
	// bodyRate is how many bytes of a body that is held earn it a second more than
	// that, all in all.
	bodyRate = 16 << 10
	// linger is how long it may go on with one that nobody reads: a connection
	// that is closed at once takes the answer with it.
	linger = 5 * time.Second
)

// body is what a request brings. Reading it fails when the client is silent for
// too long, or sends too slowly what is held, and once the request has been dealt with.
type body struct {
	from  io.ReadCloser // nil: there is none
	rc    *http.ResponseController
	http1 bool

	use    sync.Mutex // held by whoever reads
	over   atomic.Bool
	ended  atomic.Bool           // all of it has been read
	failed atomic.Pointer[error] // why no more can be
	lent   bool                  // to an upstream, while the client sends
	left   int64                 // bytes that may still be lent
	began  time.Time             // the reading
	came   int64                 // bytes
}

// newBody takes the body of r over.
func newBody(w *response, r *http.Request) *body {
	b := &body{rc: http.NewResponseController(w.ResponseWriter), http1: r.ProtoMajor == 1}
	if r.ContentLength != 0 && r.Body != nil && r.Body != http.NoBody {
		b.from, r.Body = r.Body, b
	}
	return b
}

// Read implements [io.Reader].
func (b *body) Read(p []byte) (int, error) {
	b.use.Lock()
	defer b.use.Unlock()
	switch {
	case b.over.Load():
		return 0, http.ErrBodyReadAfterClose
	case b.ended.Load():
		return 0, io.EOF
	case b.failed.Load() != nil:
		return 0, *b.failed.Load()
	}
	_ = b.rc.SetReadDeadline(b.patience(time.Now())) // a test's writer may have none
	n, err := b.from.Read(p)
	b.came += int64(n)
	if b.left -= int64(n); b.left < 0 && b.lent {
		n, err = 0, &http.MaxBytesError{}
	}
	if err == nil {
		return n, nil
	}
	if err == io.EOF {
		b.ended.Store(true)
	} else {
		b.failed.Store(&err)
	}
	if !b.over.Load() {
		_ = b.rc.SetReadDeadline(time.Time{}) // net/http goes on to listen for the client's end
	}
	return n, err
}

// patience is until when the next byte has to come. What goes on to an upstream as
// it comes may take as long as it likes: nothing of it is held.
func (b *body) patience(now time.Time) time.Time {
	silent := now.Add(bodyPatience)
	if b.lent {
		return silent
	}
	if b.began.IsZero() {
		b.began = now
	}
	if end := b.began.Add(bodyPatience + time.Duration(b.came/bodyRate)*time.Second); end.Before(silent) {
		return end
	}
	return silent
}

// Close implements [io.Closer]. The client's body stays open: net/http would
// read what is left of it first.
func (b *body) Close() error { return nil }

// overtaken lets the answer begin while the client still sends to the upstream.
// net/http would read the rest of an HTTP/1 request first, and two sides that talk
// at once would wait for each other. The rest may never come, so the connection
// takes no further request, nor does one whose client has had its time. The rest of
// a body that nobody wants is read for a moment, so that the connection can.
func (b *body) overtaken(w *response) {
	switch {
	case b.from == nil || !b.http1 || b.ended.Load():
	case b.lent || b.failed.Load() != nil:
		_ = b.rc.EnableFullDuplex()
		w.Header().Set("Connection", "close")
	default:
		_ = b.rc.SetReadDeadline(time.Now().Add(linger))
	}
}

// settle ends all use of a body that was overtaken, before the handler returns:
// net/http waits for ever for a connection that somebody still reads.
func (b *body) settle() {
	if !b.lent && b.failed.Load() == nil || b.ended.Load() {
		return
	}
	b.over.Store(true)
	_ = b.rc.SetReadDeadline(time.Unix(1, 0))
	b.use.Lock()
	defer b.use.Unlock()
	if b.http1 {
		_ = b.rc.SetReadDeadline(time.Now().Add(linger)) // net/http reads some of the rest
	}
}

// lend has the body go to an upstream while the client sends it, up to limit
// bytes.
func (b *body) lend(limit int64) io.ReadCloser {
	if !b.lent {
		b.lent, b.left = true, limit
	}
	return &loan{Reader: b}
}

// loan is a body in the hands of one attempt to send it.
type loan struct {
	io.Reader
	closed atomic.Bool
}

func (l *loan) Read(p []byte) (int, error) {
	if l.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	return l.Reader.Read(p)
}

// Close ends this attempt's use. Without a connection it comes before a byte has
// been read, and another attempt may begin.
func (l *loan) Close() error {
	l.closed.Store(true)
	return nil
}

// problem is the answer to a request whose body could not be read; false if it
// could.
func (b *body) problem() (answer, bool) {
	failed := b.failed.Load()
	if failed == nil {
		return answer{}, false
	}
	if _, ok := errors.AsType[*http.MaxBytesError](*failed); ok {
		return answer{status: http.StatusRequestEntityTooLarge, kind: "too-large", title: "The body is too large", denied: deniedTooLarge}, true
	}
	if errors.Is(*failed, os.ErrDeadlineExceeded) {
		return answer{status: http.StatusRequestTimeout, kind: "body-timeout", title: "The body did not arrive in time", denied: deniedMessage}, true
	}
	return answer{status: http.StatusBadRequest, kind: "body-broken", title: "The body broke off", denied: deniedMessage}, true
}
