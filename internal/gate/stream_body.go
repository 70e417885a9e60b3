package gate

import (
	"io"
	"sync"
	"time"
)

// comment is what says nothing to a client, but keeps what is between awake.
const comment = ": keep-alive\n\n"

// The pieces in which an upstream is read. Most streams say little, or nothing.
const (
	leastPiece = 512
	mostPiece  = 32 << 10
)

// How long a stream that the gate's end is about to end waits for what is on its way:
// until nothing has come for so long, and if something always does, for so long.
const (
	lastWords     = 50 * time.Millisecond
	mostLastWords = time.Second
)

// stream is the body of an event stream on its way to the client. It says
// everything as soon as the upstream does, a comment when that is silent, and ends
// cleanly when its time is over. What the upstream cuts stays cut: that is no
// clean end. One goroutine at a time may read it, and then close it.
type stream struct {
	src      io.ReadCloser
	until    time.Time       // the end; zero: none
	draining <-chan struct{} // closed when it should end between events; nil: never
	opaque   bool            // its events cannot be seen
	said     func(why string)
	pending  *pending // what it has not answered; nil: nothing

	place   place
	out     []byte // for the client, before anything else
	err     error  // behind it
	asked   bool   // the pump reads
	bell    *time.Timer
	leaving time.Time // when draining was closed; zero: it is not
	quiet   time.Time // since when nothing has come, while it is leaving

	more    chan struct{} // one for each read that the pump shall do
	got     chan piece    // what came of it
	pumping sync.WaitGroup
}

// piece is what one read of the upstream yields. Its data is the reader's until it
// asks for more.
type piece struct {
	data []byte
	err  error
}

// newStream returns the stream that src is, which ends at until.
func newStream(src io.ReadCloser, until time.Time) *stream {
	return &stream{src: src, until: until, said: func(string) {}}
}

// begin starts what works for the stream.
func (s *stream) begin() {
	s.more, s.got = make(chan struct{}, 1), make(chan piece, 1)
	s.bell = time.NewTimer(s.rest())
	s.pumping.Go(s.pump)
}

// pump reads the upstream, one piece whenever it is asked. It holds no more, so
// that a client that is slow slows the upstream.
func (s *stream) pump() {
	size := leastPiece
	buf := make([]byte, size)
	for range s.more {
		if len(buf) < size {
			buf = make([]byte, size)
		}
		n, err := s.src.Read(buf)
		if n == len(buf) {
			size = min(4*size, mostPiece)
		}
		s.got <- piece{buf[:n], err}
	}
}

// Read implements [io.Reader].
func (s *stream) Read(p []byte) (int, error) {
	if s.more == nil && s.err == nil {
		s.begin()
	}
	for len(s.out) == 0 && s.err == nil && len(p) > 0 {
		s.await()
	}
	if len(s.out) == 0 {
		return 0, s.err
	}
	n := copy(p, s.out)
	s.out = s.out[n:]
	return n, nil
}

// await waits for whatever comes next.
func (s *stream) await() {
	switch {
	case s.past():
		s.finish("the token of the caller is over")
		if s.place.between() {
			s.out = s.pending.farewell()
		}
		return
	case s.left():
		s.finish("the gate is draining")
		return
	case !s.asked:
		s.asked = true
		s.more <- struct{}{}
	}
	select {
	case p := <-s.got:
		s.asked, s.quiet = false, time.Now()
		s.out, s.err = s.place.pass(p.data, p.err != nil), p.err
		s.pending.follow(s.out)
		s.bell.Reset(s.rest())
	case <-s.bell.C:
		s.bell.Reset(s.rest())
		if !s.opaque && s.leaving.IsZero() && !s.past() && s.place.between() {
			s.out = []byte(comment)
		}
	case <-s.draining:
		s.leaving, s.draining = time.Now(), nil
		s.quiet = s.leaving
		s.bell.Reset(s.rest())
	}
}

// left reports whether the stream ends here because the gate does. What the upstream
// said before is passed on first: some of it may be on its way.
func (s *stream) left() bool {
	return !s.leaving.IsZero() && s.between() && len(s.got) == 0 &&
		(time.Since(s.quiet) >= lastWords || time.Since(s.leaving) >= mostLastWords)
}

// rest is how long to wait for the upstream before something else is due.
func (s *stream) rest() time.Duration {
	rest := silence
	if !s.leaving.IsZero() && s.between() {
		rest = lastWords
	}
	if !s.until.IsZero() {
		rest = min(rest, time.Until(s.until))
	}
	return rest
}

func (s *stream) finish(why string) {
	s.said(why)
	s.err = io.EOF
}

// past reports whether the stream's time is over, by the wall clock: timers stand
// still while a machine sleeps.
func (s *stream) past() bool { return !s.until.IsZero() && !time.Now().Round(0).Before(s.until) }

// between reports whether the stream may end here.
func (s *stream) between() bool { return s.opaque || s.place.between() }

// Close ends the upstream's part, and waits for the pump.
func (s *stream) Close() error {
	err := s.src.Close()
	if s.more != nil {
		s.bell.Stop()
		close(s.more)
		s.pumping.Wait()
		s.more = nil
	}
	if s.err == nil {
		s.err = io.ErrClosedPipe
	}
	return err
}
