package replay

import "io"

// tap is one attempt's view of a [spool], from the body's first byte on. Close
// makes a Read that waits return, unless it waits for the client itself, and
// leaves the client's body open as long as another attempt may want it.
type tap struct {
	s      *spool
	offset int64 // of the next byte; guarded by s.mu, like what follows
	closed bool
	ended  bool // the end of the body was read
}

// Read implements [io.Reader].
func (t *tap) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	s := t.s
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case t.closed:
			return 0, errDetached
		case t.offset < s.tee.end:
			return t.result(t.held(p))
		case s.err != nil:
			return t.result(0)
		case s.reading || s.halted:
			s.turn.Wait()
		case s.http1 && s.lost == ErrTooLarge:
			n, _ := s.straight(p)
			if t.closed {
				return 0, errDetached
			}
			t.offset += int64(n)
			return t.result(n)
		default:
			s.fetch()
		}
	}
}

// result is what a Read of n bytes returns. An error comes with the last bytes,
// so that HTTP/2 can end the stream in their frame.
func (t *tap) result(n int) (int, error) {
	if t.offset < t.s.tee.end {
		return n, nil
	}
	t.ended = t.s.err == io.EOF
	return n, t.s.err
}

// held copies what is there.
func (t *tap) held(p []byte) int {
	n := t.s.tee.readAt(p, t.offset)
	t.offset += int64(n)
	if t.s.passing {
		t.s.free()
	}
	return n
}

// Close implements [io.Closer].
func (t *tap) Close() error {
	s := t.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.closed { // by another attempt that took its place, perhaps
		return nil
	}
	s.detach()
	if s.passing {
		s.free()
		s.close()
	}
	return nil
}
