package stdio

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// streamable is the streamable HTTP transport of MCP 2025-03-26 and later: each
// message is a POST of its own, and what the server says unasked comes on the
// answer to a GET.
type streamable struct {
	o       Options
	deliver func(raw []byte, on *call) error

	// fields adds to the header of a POST what an era wants there beside what
	// every POST has; it may take fields away. Nil adds nothing.
	fields func(h http.Header, m message)

	most  int           // bytes of one message
	turns chan struct{} // one for each large message that is held

	mu      sync.Mutex
	home    *url.URL      // the server's, after what has moved it for good; what it points to is not changed
	target  *url.URL      // where it is for now, home if it has not said another place
	session string        // that the server has given, "" for none
	version string        // of the protocol, once it is negotiated
	former  string        // session that another has taken the place of, as long as the server knows it
	hangUp  func()        // ends the stream of the server's own messages that is open
	deaf    chan struct{} // closed when nothing comes unasked any more; nil before listen
}

// newHTTP returns an upstream that has nothing to do until it is asked.
func newHTTP(o Options, deliver func(raw []byte, on *call) error) *streamable {
	target := *o.URL
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &streamable{o: o, deliver: deliver, home: &target, target: &target, most: mostMessage, turns: make(chan struct{}, mostLarge)}
}

// grace is how long an answer may go on when the response has come. Most end
// there by themselves, and their connection can then be used again.
const grace = 500 * time.Millisecond

// ask implements [upstream].
func (s *streamable) ask(ctx context.Context, c *call) error {
	defer c.left()
	ctx, hangUp := context.WithCancel(ctx)
	var lingering sync.WaitGroup
	lingering.Go(func() { linger(ctx, c.answered, hangUp) })
	defer lingering.Wait()
	defer hangUp()
	res, err := s.post(ctx, c.message, c.left)
	c.left()
	if err == nil {
		err = s.answer(ctx, res, c)
	}
	if isClosed(c.answered) {
		return nil // and what came afterwards does not matter
	}
	return err
}

// linger ends what is left of a call that has been answered.
func linger(ctx context.Context, answered <-chan struct{}, hangUp func()) {
	select {
	case <-ctx.Done():
		return
	case <-answered:
	}
	late := time.AfterFunc(grace, hangUp)
	defer late.Stop()
	<-ctx.Done()
}

// tell implements [upstream].
func (s *streamable) tell(ctx context.Context, m message) error {
	ctx, hangUp := context.WithCancel(ctx)
	defer hangUp()
	res, err := s.post(ctx, m, func() {})
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode/100 != 2 {
		return refused(res)
	}
	if m.Method == "notifications/initialized" {
		s.begin()
	}
	if mediaType(res.Header) != typeStream { // which might not end, and those behind m wait
		spend(res)
	}
	return nil
}

// end implements [upstream]. The server may know nothing of sessions that end,
// or not know this one any more.
func (s *streamable) end(ctx context.Context) error {
	if idle, ok := s.o.Route.(interface{ CloseIdleConnections() }); ok {
		defer idle.CloseIdleConnections()
	}
	h := s.header()
	if len(h[headerSession]) == 0 {
		return nil
	}
	ctx, hangUp := context.WithCancel(ctx)
	defer hangUp()
	res, err := s.send(ctx, http.MethodDelete, h, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode/100 == 2, res.StatusCode == http.StatusNotFound, res.StatusCode == http.StatusMethodNotAllowed:
		spend(res)
		return nil
	}
	return refused(res)
}

// isInitialize reports whether a message begins a session.
func isInitialize(m message) bool {
	return m.Kind == jsonrpc.Request && m.Method == "initialize"
}

// isClosed reports whether c is, of which nothing is received.
func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
