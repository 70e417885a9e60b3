package session

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// session is what is known of one session: what the client is told, and what
// is true upstream at the moment.
type session struct {
	key    key
	digest string          // for those who look
	began  time.Time       // when the client's session did
	params json.RawMessage // of the client's initialize
	gone   atomic.Bool     // the Book has forgotten it

	used time.Time // guarded by the Book, like size
	size int

	mu      sync.Mutex
	version string        // of the protocol; "" while it is not known
	lists   []string      // of which the server tells when they change: tools, prompts, resources
	id      string        // the upstream's; "" where it has no sessions any more
	since   time.Time     // when the upstream's session began
	turn    int           // how many there have been before it
	renewed chan struct{} // closed when another takes its place
	flight  *flight       // puts another in its place; nil if there is none
	rest    time.Time     // it is not replaced before that
	doubted bool          // a 404 has turned out to be about a message: another is proved
	ended   bool          // by the client: it is never replaced
	calls   int           // requests in flight, streams apart
	streams int
	greeted int  // the turn of which the client was told on a stream
	wanted  bool // there was a stream once, so the server has them
	replay  memory
	asked   recent // requests of the server, since it was replaced
	blind   bool   // there may be requests that were not seen
	events  recent // ids of events since then
	held    recent // those of held streams, which their clients may resume
}

func newSession(k key, params json.RawMessage) *session {
	now := time.Now()
	return &session{
		key: k, digest: digest(k.id), began: now, since: now, params: params, id: k.id,
		size: overhead + len(params) + len(k.owner) + len(k.target) + 2*len(k.id), renewed: make(chan struct{}),
	}
}

// digest stands for a session id, which is a secret.
func digest(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:4])
}

// view is a session as a request was sent in it.
type view struct {
	id      string
	turn    int
	version string
	renewed <-chan struct{} // closed when another is in its place
}

// The following expect the lock to be held.

func (s *session) view() view { return view{s.id, s.turn, s.version, s.renewed} }

// adopt puts another session of the upstream in the place of what there was.
func (s *session) adopt(fresh upstream) {
	s.id, s.since, s.lists = fresh.id, time.Now(), fresh.lists
	s.turn++
	s.asked, s.blind, s.events, s.held = recent{}, false, recent{}, recent{}
	close(s.renewed)
	s.renewed = make(chan struct{})
}

// The following take it.

func (s *session) summarise(to *Summary) {
	s.mu.Lock()
	defer s.mu.Unlock()
	to.Version, to.Recoveries, to.Streams, to.Recovering = s.version, s.turn, s.streams, s.flight != nil
}

func (s *session) busy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls+s.streams > 0 || s.flight != nil
}

// live reports whether the session is still the client's.
func (s *session) live() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.ended && !s.gone.Load()
}

func (s *session) now() view {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view()
}

// settled waits while another session is being put in the place of a lost one.
func (s *session) settled(ctx context.Context) error {
	for {
		s.mu.Lock()
		f := s.flight
		s.mu.Unlock()
		if f == nil {
			return nil
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// join waits as settled does and counts a call at once, so that the session is
// not replaced before that is sent.
func (s *session) join(ctx context.Context) (at view, leave func(), err error) {
	for {
		s.mu.Lock()
		f := s.flight
		if f == nil {
			s.calls++
			at = s.view()
			s.mu.Unlock()
			return at, s.leaving(&s.calls), nil
		}
		s.mu.Unlock()
		select {
		case <-f.done:
		case <-ctx.Done():
			return view{}, nil, context.Cause(ctx)
		}
	}
}

// enter counts a call or a stream, and returns what ends it.
func (s *session) enter(count *int) (leave func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*count++
	return s.leaving(count)
}

func (s *session) leaving(count *int) func() {
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		*count--
	})
}

// heals reports whether what the request found may be mended: where messages
// may be sent.
func (x *exchange) heals() bool { return x.t.o.May(http.MethodPost) && x.s.heals(x.req.Header) }

// heals reports whether a request in the session may be mended: with the
// versions that have sessions, until the client ends it.
func (s *session) heals(h http.Header) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.ended && !s.gone.Load() && sessionful(s.version) && !sessionless(h)
}

// answered takes note of a success, and of an id that the server has changed.
func (s *session) answered(at view, h http.Header, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.turn != at.turn {
		return
	}
	if id != "" {
		s.id = id
	}
	if v := h.Get(headerVersion); s.version == "" && sessionful(v) {
		s.version = v // the answer to initialize could not be read
	}
}
