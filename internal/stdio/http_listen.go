package stdio

import (
	"context"
	"net/http"
	"time"
)

// listen implements [upstream]. A stream that ends is asked for again, unless
// the server has none.
func (s *streamable) listen(ctx context.Context) {
	deaf := make(chan struct{})
	defer close(deaf)
	s.mu.Lock()
	s.deaf = deaf
	version := s.version
	s.mu.Unlock()
	if version >= firstSessionless {
		return
	}
	r := &reader{s: s}
	for {
		if s.leaveFormer(ctx) {
			r = &reader{s: s}
		}
		over, err := r.hear(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case s.replaced():
			continue
		case over:
			s.o.Log.Debug("the server has no stream of its own messages", "error", err)
			return
		}
		s.o.Log.Debug("the stream of the server's own messages is not there", "error", err)
		if !pause(ctx, r.pace.wait()) {
			return
		}
	}
}

// hear asks for the stream once, and delivers what it says until it ends. An
// event that the server cannot go on from is given up first.
func (r *reader) hear(ctx context.Context) (over bool, err error) {
	ctx, hangUp := context.WithCancel(ctx)
	defer hangUp()
	r.s.mu.Lock()
	r.s.hangUp = hangUp
	r.s.mu.Unlock()
	res, over, err := r.open(ctx)
	switch {
	case over && r.last != "":
		r.last = ""
		return false, err
	case res == nil:
		return over, err
	}
	defer func() { res.Body.Close() }()
	begun := time.Now()
	err = r.read(ctx, res.Body)
	switch {
	case r.news:
	case time.Since(begun) >= stood:
		r.pace.well()
	default:
		r.pace.failed(0)
	}
	return false, err
}

// begin has the stream opened in a session that the client has begun in the place
// of another.
func (s *streamable) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.former != "" && s.hangUp != nil {
		s.hangUp()
	}
}

// replaced reports whether the session is another than that of the stream before.
func (s *streamable) replaced() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.former != ""
}

// leaveFormer ends the session that another has taken the place of, and reports
// whether there was such a one.
func (s *streamable) leaveFormer(ctx context.Context) bool {
	h := s.header()
	s.mu.Lock()
	former := s.former
	s.former = ""
	s.mu.Unlock()
	if former == "" {
		return false
	}
	ctx, done := context.WithTimeout(ctx, waitRefusal)
	defer done()
	h[headerSession] = []string{former}
	res, err := s.send(ctx, http.MethodDelete, h, nil)
	if err != nil {
		s.o.Log.Debug("the server was not told of the end of a session", "error", err)
		return true
	}
	spend(res) // whatever it says: there is no more to be done
	return true
}
