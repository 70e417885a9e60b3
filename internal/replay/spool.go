package replay

import (
	"errors"
	"io"
	"sync"
)

var (
	errDetached = errors.New("replay: read from a request body that is no longer sent")
	errNotHeld  = errors.New("replay: the request body is no longer held and cannot be sent again")
)

// firstChunk is what a body of undeclared length begins with: most are small.
// Chunks grow as long as the client fills them, so that a body that comes in
// large pieces is soon read in just these.
const firstChunk = 4 << 10

// spool reads a client's body once, for however many attempts send it. Each
// attempt has a [tap]; only the newest is live. What one attempt has read is
// held for the next until the outcome is known, then only passed on.
//
// A goroutine makes each read of a body that can be sent again, so that an
// attempt can leave while the client is silent: before it tries another
// connection, net/http waits for the reader of the failed one. What such a read
// yields belongs to the next attempt. The read ends with the client's next byte,
// or when the client's body is closed, which [spool.finish] sees to. A body that
// was let go because it is large has no other attempt, and over HTTP/1, where
// net/http interrupts no reader, its last reads it like one that is not held.
type spool struct {
	src      io.ReadCloser
	declared int64 // length, or -1
	limit    int64
	http1    bool // the client's protocol, and the upstream's

	mu      sync.Mutex
	turn    sync.Cond // of what a tap waits for: the end of a read, of a halt, of itself
	tee     tee
	live    *tap
	first   tap
	size    int    // of the next chunk, where no length is declared
	room    []byte // what the goroutine reads into
	reading bool   // a read is under way
	halted  bool   // no other read begins
	err     error  // what the client's body ended with
	passing bool   // only what the live tap has yet to send is held
	lost    error  // why the body was let go before the outcome was known
	closed  bool
}

func newSpool(src io.ReadCloser, declared, limit int64, memory *Budget) *spool {
	s := new(spool)
	s.init(src, declared, limit, memory)
	return s
}

func (s *spool) init(src io.ReadCloser, declared, limit int64, memory *Budget) {
	s.src, s.declared, s.limit, s.size = src, declared, limit, firstChunk
	s.tee.memory, s.turn.L = memory, &s.mu
}

// open detaches the attempt before, if there was one, and returns a reader of
// the whole body. It serves as [http.Request.GetBody].
func (s *spool) open() (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.passing && (s.tee.end > 0 || s.reading) {
		return nil, errNotHeld
	}
	if s.live == nil {
		s.live = &s.first
	} else {
		s.detach()
		s.live = new(tap)
	}
	s.live.s = s
	s.resume()
	return s.live, nil
}

// halt stops further reads while a refusal is dealt with. The read under way
// goes on.
func (s *spool) halt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.halted = true
}

// flaw says why the body cannot be sent again, if it cannot.
func (s *spool) flaw() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil && s.err != io.EOF {
		return ErrBroken
	}
	return s.lost
}

// whole returns a copy of the body if all of it is held.
func (s *spool) whole(most int64) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ended := s.err == io.EOF || s.declared >= 0 && s.tee.end == s.declared
	if !ended || s.passing || s.tee.end > most {
		return nil, false
	}
	data := make([]byte, s.tee.end)
	s.tee.readAt(data, 0)
	return data, true
}

// leave detaches the live attempt, and reports whether that had sent the whole
// body.
func (s *spool) leave() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.detach()
	return s.live.ended
}

// finish says that no attempt will follow the live one. What is held is freed,
// except for what that one has yet to send, and the client's body is closed
// when it is.
func (s *spool) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pass(nil)
	s.resume()
	if s.live.closed {
		s.close()
	}
}

// The rest is called with the lock held.

func (s *spool) detach() {
	s.live.closed = true
	s.turn.Broadcast()
}

func (s *spool) resume() {
	s.halted = false
	s.turn.Broadcast()
}

// close closes the client's body, once. A server's body waits in its Close for
// what the client has yet to send, and neither RoundTrip nor the Transport may
// wait with it; they leave it to a goroutine, as the Transport does.
func (s *spool) close() {
	switch {
	case s.closed:
	case s.err == io.EOF:
		s.src.Close()
	default:
		go s.src.Close()
	}
	s.closed = true
}

// pass ends the holding of the body before its time for the reason why, or in
// its time.
func (s *spool) pass(why error) {
	if !s.passing {
		s.passing, s.lost = true, why
	}
	s.free()
}

// free frees what the live attempt no longer needs.
func (s *spool) free() {
	if s.live.closed {
		s.tee.drop(s.reading)
		return
	}
	s.tee.trim(s.live.offset, s.reading)
}

// fetch starts a read of the client's body. If there is no memory to hold what
// it yields, the body is let go.
func (s *spool) fetch() {
	size, counted := s.size, !s.passing
	if s.declared >= 0 {
		// One byte finds the end of a body that should have ended, or a byte too
		// many, which the Transport will complain of.
		rest := s.declared - s.tee.end
		size, counted = int(max(1, min(rest, chunkSize))), counted && rest > 0
	}
	room := s.tee.room(size, counted)
	if room == nil {
		s.pass(ErrNoRoom)
		room = s.tee.room(size, false)
	}
	s.room, s.reading = room, true
	go s.read()
}

// read makes one read of the client's body. It is called without the lock.
func (s *spool) read() {
	n, err := s.src.Read(s.room)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended(n, err)
	if n == len(s.room) {
		s.size = int(min(3*s.tee.end, chunkSize))
	}
	s.room = nil
	// What comes in while reading is halted had not been sent when the refusal
	// arrived, and does not count.
	if s.tee.end > s.limit && !s.halted && !s.passing {
		s.pass(ErrTooLarge)
	}
}

// straight makes one read of the client's body for the live tap, of which
// nothing is held any more. It is called with the lock held, and reads without.
func (s *spool) straight(p []byte) (n int, err error) {
	s.reading = true
	defer func() { s.ended(n, err) }()
	s.mu.Unlock()
	defer s.mu.Lock()
	return s.src.Read(p)
}

// ended takes note of what came of a read.
func (s *spool) ended(n int, err error) {
	s.tee.commit(n)
	s.err, s.reading = err, false
	s.turn.Broadcast()
}
