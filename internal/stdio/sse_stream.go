package stdio

import (
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/injectproxy/injectproxy/internal/eventstream"
)

const (
	waitStream   = 90 * time.Second // for a stream, with all that may precede it: somebody signs in
	waitEndpoint = 10 * time.Second // for the server to answer, and then to name its endpoint
)

// stream is one answer that carries what the server says.
type stream struct {
	s    *sse
	ctx  context.Context // ends with the stream; its cause says why
	drop context.CancelCauseFunc

	named chan struct{} // closed when the endpoint is known
	post  *streamable   // sends messages there; set before
	lost  chan struct{} // closed when the stream has been read to its end: nothing more of it is delivered
	news  bool          // it has carried a message; set before
	pace  *pace         // takes the server's wish; the reader's until the stream is lost
	asked keys          // the ids of the server's requests
	lists []string      // of which the server tells when they change

	greeting atomic.Pointer[call] // the client's initialize, while it is under way

	mu  sync.Mutex
	own map[string]*response // to requests of the bridge's own, by the key of their id
}

func (t *stream) why() error { return context.Cause(t.ctx) }

// open opens a stream, and returns it when the endpoint is known.
func (s *sse) open(p *pace) (*stream, error) {
	t := &stream{s: s, pace: p, named: make(chan struct{}), lost: make(chan struct{}), own: map[string]*response{}}
	t.ctx, t.drop = context.WithCancelCause(s.ctx)
	late := time.AfterFunc(waitStream, func() {
		if !isClosed(t.named) {
			t.drop(errSilent())
		}
	})
	defer late.Stop()
	res, err := s.get(httptrace.WithClientTrace(t.ctx, &httptrace.ClientTrace{
		WroteRequest:         func(httptrace.WroteRequestInfo) { late.Reset(waitEndpoint) },
		GotFirstResponseByte: func() { late.Reset(waitStream) }, // which may be that another token is wanted
	}))
	if err != nil {
		t.drop(err)
		return nil, t.why() // the time may have been over before
	}
	late.Reset(waitEndpoint)
	go t.read(res)
	select {
	case <-t.named:
		return t, nil
	case <-t.lost:
		return nil, t.why()
	}
}

// get asks for a stream.
func (s *sse) get(ctx context.Context) (*http.Response, error) {
	h := s.door.header()
	h["Accept"] = []string{typeStream}
	h["Cache-Control"] = []string{"no-store"}
	if s.last != "" {
		h[headerLast] = []string{s.last}
	}
	res, err := s.door.send(ctx, http.MethodGet, h, nil)
	switch {
	case err != nil:
		return nil, err
	case res.StatusCode != http.StatusOK:
		return nil, refused(res)
	case mediaType(res.Header) != typeStream || coded(res.Header):
		res.Body.Close()
		return nil, ours("the server answered the request for an event stream with %.100q: is the URL that of an SSE server?", mediaType(res.Header))
	}
	return res, nil
}

// read delivers what a stream says, to its end.
func (t *stream) read(res *http.Response) {
	defer close(t.lost)
	defer func() { res.Body.Close() }()
	p := eventstream.Splitter{Limit: 2 * mostEndpoint}
	buf := make([]byte, 4<<10)
	for {
		n, err := res.Body.Read(buf)
		p.Write(buf[:n], func(_ []byte, e eventstream.Event) {
			if t.ctx.Err() != nil {
				return
			}
			if t.event(res.Request.URL, e); isClosed(t.named) {
				p.Limit = mostMessage
			}
		})
		switch {
		case err == io.EOF:
			t.drop(errEnded)
		case err != nil:
			t.drop(err)
		}
		if t.ctx.Err() != nil {
			return
		}
		if n == len(buf) && n < mostBuffer {
			buf = make([]byte, 2*n)
		}
	}
}

// event takes one event. at is where the stream comes from.
func (t *stream) event(at *url.URL, e eventstream.Event) {
	if e.HasID {
		t.s.last = ""
		if sendable(e.ID) {
			t.s.last = string(e.ID)
		}
	}
	if e.HasRetry {
		t.pace.said, t.pace.retry = true, min(e.Retry, mostPause)
	}
	named := isClosed(t.named)
	switch {
	case e.Part && !named:
		t.drop(ours("the server did not name where messages go: is the URL that of an SSE server?"))
	case e.Part:
		t.drop(tooLarge()) // nobody can tell which call it answers
	case len(e.Data) == 0:
	case string(e.Name) == "endpoint" && named:
		t.s.o.Log.Warn("the server names its endpoint a second time, which is not followed")
	case string(e.Name) == "endpoint":
		t.endpoint(at, string(e.Data))
	case named && (len(e.Name) == 0 || string(e.Name) == "message"):
		t.news = true
		t.take(e.Data, nil)
	}
}

func errSilent() *failure {
	return ours("the server did not open an event stream in time, or did not name where messages go: is the URL that of an SSE server?")
}
