package session

import (
	"bytes"
	"io"
	"net/http"
	"time"
)

// How much of an answer is read, and how long, to find out whether it says that
// the session is lost.
const (
	mostHead = 64 << 10
	mostPeek = time.Second
)

// peek returns the beginning of an answer's body, and leaves the answer as if
// it had not been read.
func peek(res *http.Response) []byte {
	late := time.NewTimer(mostPeek)
	defer late.Stop()
	ahead, head := &readAhead{src: res.Body}, []byte(nil)
	for len(head) < mostHead && ahead.err == nil && ahead.last == nil {
		p := begin(res.Body, min(mostHead-len(head), 4<<10))
		select {
		case <-p.done:
			head, ahead.err = append(head, p.data...), p.err
		case <-late.C:
			ahead.last = p
		}
	}
	res.Body = &body{Reader: io.MultiReader(bytes.NewReader(head), ahead), src: ahead}
	return head
}

// piece is what one read yields, once it is done.
type piece struct {
	done chan struct{}
	data []byte
	err  error
}

func begin(src io.Reader, n int) *piece {
	p := &piece{done: make(chan struct{})}
	go func() {
		defer close(p.done)
		data := make([]byte, n)
		n, err := src.Read(data)
		p.data, p.err = data[:n], err
	}()
	return p
}

// readAhead is the rest of a body that was looked at.
type readAhead struct {
	src  io.ReadCloser
	last *piece // the read that was begun and not waited for; may be nil
	rest []byte // of what that has yielded; the reader's, like what follows
	had  bool
	err  error
}

// Read implements [io.Reader].
func (a *readAhead) Read(p []byte) (int, error) {
	if a.last != nil && !a.had {
		<-a.last.done
		a.had, a.rest, a.err = true, a.last.data, a.last.err
	}
	if len(a.rest) > 0 {
		n := copy(p, a.rest)
		a.rest = a.rest[n:]
		return n, nil
	}
	if a.err != nil {
		return 0, a.err
	}
	return a.src.Read(p)
}

// Close implements [io.Closer]. It ends the read that is under way.
func (a *readAhead) Close() error {
	err := a.src.Close()
	if a.last != nil {
		<-a.last.done
	}
	return err
}
