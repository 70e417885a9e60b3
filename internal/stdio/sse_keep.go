package stdio

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// mostWait is how long a message waits for another stream in the place of one
// that was lost.
const mostWait = 30 * time.Second

// try is one to have a stream on which a session has begun, or can.
type try struct {
	done chan struct{} // closed when it is over
	err  error         // why there is none; set before that
}

func newTry() *try { return &try{done: make(chan struct{})} }

var errBridge = errors.New("the bridge ends")

// standing returns the stream that messages go to, nil if there is none.
func (s *sse) standing() *stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stands()
}

// stands is standing with the lock held.
func (s *sse) stands() *stream {
	if s.stream == nil || isClosed(s.stream.lost) || s.stream.ctx.Err() != nil {
		return nil
	}
	return s.stream
}

// ready returns the stream that messages go to, and waits while there is none.
func (s *sse) ready(ctx context.Context) (*stream, error) {
	late := time.NewTimer(mostWait)
	defer late.Stop()
	var last error
	for {
		t, next, replaces := s.want()
		if t != nil {
			return t, nil
		}
		select {
		case <-next.done:
			if last = next.err; last != nil && (!replaces || lasting(last)) {
				return nil, last
			}
		case <-late.C:
			if replaces { // else the try has a limit of its own: somebody may have to sign in first
				return nil, gone(s.o, last)
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-s.ctx.Done():
			return nil, errBridge
		}
	}
}

// want asks for a stream if there is none. It returns the try whose end is to be
// waited for, and whether there was a session before it.
func (s *sse) want() (t *stream, next *try, replaces bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t = s.stands(); t != nil {
		return t, nil, false
	}
	if !s.kept {
		s.kept = true
		go s.keep()
	}
	s.poke()
	return nil, s.next, s.memory.params != nil
}

// poke tells the keeper that a stream is wanted.
func (s *sse) poke() {
	select {
	case s.wanted <- struct{}{}:
	default: // it knows
	}
}

// tried lets those go on who have waited for a try.
func (s *sse) tried(t *stream, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.stream = t
	}
	select {
	case <-s.wanted: // they have it
	default:
	}
	s.next.err = err
	close(s.next.done)
	s.next = newTry()
}

// lasting reports whether there is no use in waiting for another try.
func lasting(err error) bool {
	switch e := err.(type) {
	case *refusal: // a server that is about to come back may not be found yet
		return !passing(e.status) && e.status != http.StatusNotFound
	case *failure:
		return e.err == errVersion
	}
	return false
}

// keep opens a stream when one is wanted, and another in the place of one that
// was lost: without being asked if the client has a session that it listens to.
func (s *sse) keep() {
	defer close(s.over)
	var p pace
	for s.due() {
		begun := time.Now()
		t, err := s.begin(&p)
		if err == nil {
			s.welcome(t)
		}
		s.tried(t, err)
		if err == nil {
			<-t.lost
			err = t.why()
		}
		s.o.Log.Debug("there is no event stream of the server", "error", err)
		switch r, _ := err.(*refusal); {
		case r != nil:
			p.failed(r.retryAfter)
		case t != nil && (t.news || time.Since(begun) >= stood):
			p.well()
		default:
			p.failed(0)
		}
		if !pause(s.ctx, p.wait()) {
			return
		}
	}
}

// due waits until it is time for a stream. It is false at the end.
func (s *sse) due() bool {
	s.mu.Lock()
	held := s.memory.told != nil
	s.mu.Unlock()
	if held {
		return s.ctx.Err() == nil
	}
	select {
	case <-s.wanted:
		return true
	case <-s.ctx.Done():
		return false
	}
}

// begin opens a stream and begins the session on it that the client has.
func (s *sse) begin(p *pace) (*stream, error) {
	t, err := s.open(p)
	if err != nil {
		return nil, err
	}
	if err := s.renew(t); err != nil {
		t.drop(err)
		<-t.lost
		return nil, err
	}
	return t, nil
}
