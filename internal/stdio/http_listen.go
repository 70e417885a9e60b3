package stdio

import (
	"context"
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
		over, err := r.hear(ctx)
		switch {
		case ctx.Err() != nil:
			return
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
