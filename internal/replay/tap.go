package replay

import "io"

// tap is one attempt's view of a [spool], from the body's first byte on. Close
// makes a Read that waits return, and leaves the client's body open as long as
// another attempt may want it.
type tap struct {
	s      *spool
	done   chan struct{} // closed together with the tap
	offset int64         // of the next byte; guarded by s.mu, like closed
	closed bool
	ended  bool // the end of the body was read
}

// Read implements [io.Reader].
func (t *tap) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		n, wait, err := t.next(p)
		if wait == nil {
			return n, err
		}
		select {
		case <-wait:
		case <-t.done:
		}
	}
}

// next returns bytes, an error, or what has to be waited for.
func (t *tap) next(p []byte) (n int, wait <-chan struct{}, err error) {
	s := t.s
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case t.closed:
		return 0, nil, errDetached
	case t.offset < s.tee.end:
		n = t.held(p)
		if t.offset == s.tee.end {
			err = s.err // with the last bytes, so that HTTP/2 can end the stream in their frame
		}
		t.ended = err == io.EOF
		return n, nil, err
	case s.err != nil:
		t.ended = s.err == io.EOF
		return 0, nil, s.err
	case s.thaw != nil:
		return 0, s.thaw, nil
	case s.reading == nil:
		s.fetch()
	}
	return 0, s.reading, nil
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
