package session

import (
	"context"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/injectproxy/injectproxy/internal/eventstream"
)

// leg is one answer of the server that carries a held stream.
type leg struct {
	body    io.ReadCloser
	cancel  context.CancelFunc
	renewed <-chan struct{} // closed when its session has been replaced
	begun   time.Time
	once    sync.Once
	over    atomic.Bool
	proved  bool // it has delivered something; the reader's
}

// newLeg is called right after the leg has been opened.
func (s *stream) newLeg(body io.ReadCloser, cancel context.CancelFunc) *leg {
	return &leg{body: body, cancel: cancel, renewed: s.replaced, begun: time.Now()}
}

// end closes the leg, also while it is read.
func (l *leg) end() {
	l.once.Do(func() {
		l.over.Store(true)
		l.cancel()
		l.body.Close()
	})
}

// ended puts the leg away. What has been said of its last event cannot be taken
// back; then that is the end of the stream, too.
func (s *stream) ended(err error) error {
	l := s.leg
	s.leg = nil
	l.end()
	if s.events.Cut() {
		return io.ErrUnexpectedEOF
	}
	s.events = eventstream.Splitter{Limit: s.events.Limit}
	if isClosed(l.renewed) {
		s.pace.hurry()
	} else {
		s.pace.ended(err == io.EOF, l.proved, time.Since(l.begun))
	}
	return nil
}

// reopen waits for the next leg. Its error is the end of the stream, io.EOF
// where nothing is wrong.
func (s *stream) reopen() error {
	for {
		if err := s.pause(); err != nil {
			return err
		}
		l, err := s.try()
		if err != nil {
			return err
		}
		if l == nil {
			continue
		}
		s.welcome()
		s.leg = l
		select {
		case s.stood <- l:
		case <-s.ctx.Done():
			l.end()
		}
		s.tell(Event{Kind: Reopened})
		return nil
	}
}

// pause waits until the next try is due. A session that has been renewed is
// worth one at once.
func (s *stream) pause() error {
	replaced := s.replaced
	if isClosed(replaced) { // which has been heeded
		replaced = nil
	}
	for {
		if err := s.done(); err != nil {
			return err
		}
		timer := time.NewTimer(s.pace.wait(s.light))
		select {
		case <-timer.C:
			return s.done()
		case <-replaced:
			replaced = nil
			s.pace.hurry()
		case <-s.over:
		case <-s.ctx.Done():
		}
		timer.Stop()
	}
}

// done returns why the stream must not be opened again, if so.
func (s *stream) done() error {
	if isClosed(s.over) || !s.live() {
		return io.EOF
	}
	return s.ctx.Err()
}

// try opens a leg. It returns none if it may succeed later.
func (s *stream) try() (*leg, error) {
	ctx, cancel := context.WithCancel(s.ctx)
	s.pace.opened = time.Now()
	res, fresh, err := s.open(ctx, s.last)
	s.know()
	if fresh {
		s.last, s.greets, s.pace.retry = "", true, 0
	}
	switch {
	case err != nil:
		cancel()
		s.pace.failed(0)
		return nil, nil
	case followable(res):
		return s.newLeg(res.Body, cancel), nil
	}
	cancel()
	res.Body.Close()
	if res.StatusCode < 500 && res.StatusCode != http.StatusConflict && res.StatusCode != http.StatusTooManyRequests {
		return nil, io.EOF
	}
	s.pace.failed(retryAfter(res.Header))
	return nil, nil
}

// know asks what will tell that the session under which a leg was opened, or
// was to be, has been replaced.
func (s *stream) know() {
	if s.renewed != nil {
		s.replaced = s.renewed()
	}
}

// welcome tells the client of a healing, once.
func (s *stream) welcome() {
	if !s.greets {
		return
	}
	s.greets = false
	if s.greet == nil {
		return
	}
	for _, message := range s.greet() {
		s.out = append(s.out, "event: message\ndata: "+message+"\n\n"...)
	}
}

func (s *stream) tell(e Event) {
	if s.note != nil {
		s.note(e)
	}
}

// isClosed reports whether c is, of which nothing is received. A nil c is not.
func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
