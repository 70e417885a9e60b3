package stdio

import (
	"context"
	"sync"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// sse is the transport of MCP 2024-11-05: all that the server says comes on the
// answer to one GET, whose first event names where messages are to be sent. The
// session is that stream: when it is lost, another is opened and the session is
// begun anew with what the client had sent to begin its own.
type sse struct {
	o       Options
	deliver func(raw []byte, on *call) error
	door    *streamable // asks for the stream

	ctx    context.Context // of the streams: until end
	stop   context.CancelFunc
	wanted chan struct{} // holds one when somebody waits for a stream
	over   chan struct{} // closed when the keeper has ended
	last   string        // id of the last event; the keeper's, and the reader's while there is a stream

	mu     sync.Mutex
	kept   bool    // there is a keeper
	stream *stream // the last on which a session could be had
	next   *try    // the one under way, or that comes next
	memory memory  // of the client's session
}

// newSSE returns an upstream that has nothing to do until it is asked.
func newSSE(o Options, deliver func(raw []byte, on *call) error) *sse {
	s := &sse{
		o: o, deliver: deliver, door: newHTTP(o, deliver),
		wanted: make(chan struct{}, 1), over: make(chan struct{}), next: newTry(),
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

// ask implements [upstream]. A request that the server refused because it does
// not know the stream any more was not carried out, and goes to the next.
func (s *sse) ask(ctx context.Context, c *call) error {
	defer c.left()
	s.note(c.message)
	for again := false; ; again = true {
		t, err := s.ready(ctx)
		if err != nil {
			return err
		}
		err = t.ask(ctx, c)
		switch {
		case isClosed(c.answered):
			return nil
		case again || !stale(err) || isInitialize(c.message):
			return err
		}
		t.drop(errStale)
	}
}

// tell implements [upstream]. What concerns only a session that was lost goes
// with it.
func (s *sse) tell(ctx context.Context, m message) error {
	for again := false; ; again = true {
		t := s.standing()
		if ofItsSession(m) && (t == nil || m.Kind == jsonrpc.Response && (m.ID == nil || !t.asked.take(keyOf(m.ID)))) {
			return nil
		}
		t, err := s.ready(ctx)
		if err != nil {
			return err
		}
		err = t.tell(ctx, m)
		if m.Method == "notifications/initialized" {
			s.initialized(m)
		}
		if again || !stale(err) {
			return err
		}
		t.drop(errStale)
	}
}

// ofItsSession reports whether a message means nothing to another session than
// the one it was meant for.
func ofItsSession(m message) bool {
	return m.Kind == jsonrpc.Response || m.Method == "notifications/cancelled" || m.Method == "notifications/progress"
}

// listen implements [upstream]: the stream is there already.
func (s *sse) listen(ctx context.Context) { <-ctx.Done() }

// end implements [upstream]. The end of the stream is what tells the server.
func (s *sse) end(ctx context.Context) error {
	if idle, ok := s.o.Route.(interface{ CloseIdleConnections() }); ok {
		defer idle.CloseIdleConnections()
	}
	s.stop()
	s.mu.Lock()
	kept := s.kept
	s.mu.Unlock()
	if !kept {
		return nil
	}
	select {
	case <-s.over:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
