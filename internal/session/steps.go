package session

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// message is one of ours to the server.
type message struct {
	method string
	params json.RawMessage // nil if there are none
}

// encode returns the message as it is sent. An empty id makes it a
// notification.
func (m message) encode(id string) []byte {
	b, err := json.Marshal(struct {
		Version string          `json:"jsonrpc"`
		ID      string          `json:"id,omitempty"`
		Method  string          `json:"method"`
		Params  json.RawMessage `json:"params,omitempty"`
	}{"2.0", id, m.method, m.params})
	if err != nil { // params are JSON: they were read before
		panic(err)
	}
	return b
}

// newID returns an id that no client has.
func newID() string { return "injectproxy-" + strings.ToLower(rand.Text()) }

// replace begins another session upstream and puts it in the state of the lost
// one. Beside an error it returns a session that nobody uses, if there is one.
func (t *transport) replace(ctx context.Context, s *session, trigger *http.Request) (upstream, error) {
	s.mu.Lock()
	version, sets := s.version, s.replay.messages()
	s.mu.Unlock()
	fresh, err := t.initialize(ctx, trigger, s.params)
	if err != nil {
		return upstream{}, err
	}
	if fresh.version != version {
		return fresh, errOther
	}
	at := view{id: fresh.id, version: version}
	if _, err := t.tell(ctx, trigger, at, message{method: "notifications/initialized"}); err != nil {
		return fresh, err
	}
	return fresh, t.restore(ctx, trigger, at, sets)
}

// mostAtOnce is how many settings are restored at the same time.
const mostAtOnce = 8

// restore sets what the client had set. What the server does not take is left
// out, unless that means that this session is lost, too.
func (t *transport) restore(ctx context.Context, trigger *http.Request, at view, sets []message) error {
	var all sync.WaitGroup
	var lost atomic.Bool
	turns := make(chan struct{}, mostAtOnce)
	for _, m := range sets {
		turns <- struct{}{}
		all.Go(func() {
			defer func() { <-turns }()
			refused, err := t.ask(ctx, trigger, at, m)
			if refused != "" {
				lost.Store(true)
			}
			if err != nil {
				t.o.Log.WarnContext(ctx, "a lost session had a setting that the server does not take again", "method", m.method, "target", target(trigger), "reason", reason(err))
			}
		})
	}
	all.Wait()
	if lost.Load() {
		return &failure{reason: "refused"}
	}
	return nil
}

// initialize begins a session with what the client had sent to begin its own.
func (t *transport) initialize(ctx context.Context, trigger *http.Request, params json.RawMessage) (upstream, error) {
	id := newID()
	res, err := t.post(ctx, trigger, view{}, message{"initialize", params}.encode(id))
	if err != nil {
		return upstream{}, t.failed(ctx, err)
	}
	defer res.Body.Close()
	given, _ := sessionID(res.Header)
	if res.StatusCode != http.StatusOK {
		return upstream{}, &failure{reason: "refused"}
	}
	m, err := response(res, id)
	if err != nil {
		return upstream{id: given}, t.failed(ctx, err)
	}
	u, ok := negotiated(m)
	u.id = given
	if !ok && u.version == "" {
		return u, &failure{reason: "refused"}
	}
	return u, nil
}

// failed says why a message of ours was not answered.
func (t *transport) failed(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &failure{reason: "too late"}
	case ctx.Err() != nil:
		return errEnded
	case t.o.Explains != nil && t.o.Explains(err):
		return &failure{"no token", err}
	}
	return &failure{reason: "no answer"}
}

// tell sends a notification, and fails unless the server takes it.
func (t *transport) tell(ctx context.Context, trigger *http.Request, at view, m message) (string, error) {
	res, err := t.post(ctx, trigger, at, m.encode(""))
	if err != nil {
		return "", t.failed(ctx, err)
	}
	defer spend(res)
	if res.StatusCode >= 300 {
		return symptom(res), &failure{reason: "refused"}
	}
	return "", nil
}

// ask sends a request and waits for the response. refused is the sign of a
// lost session, if that is the answer.
func (t *transport) ask(ctx context.Context, trigger *http.Request, at view, m message) (refused string, err error) {
	id := newID()
	res, err := t.post(ctx, trigger, at, m.encode(id))
	if err != nil {
		return "", t.failed(ctx, err)
	}
	defer spend(res)
	if res.StatusCode >= 300 {
		return symptom(res), &failure{reason: "refused"}
	}
	if _, err := response(res, id); err != nil {
		return "", t.failed(ctx, err)
	}
	return "", nil
}

// discard ends a session of the upstream that nobody uses, as a courtesy.
func (t *transport) discard(ctx context.Context, trigger *http.Request, at view) {
	req := ownRequest(ctx, trigger, http.MethodDelete, at)
	delete(req.Header, "Content-Type")
	if res, err := t.next.RoundTrip(req); err == nil {
		spend(res)
	}
}

// post sends a message of ours with the header of a client's request.
func (t *transport) post(ctx context.Context, trigger *http.Request, at view, b []byte) (*http.Response, error) {
	req := ownRequest(ctx, trigger, http.MethodPost, at)
	req.ContentLength = int64(len(b))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
	req.Body, _ = req.GetBody()
	return t.next.RoundTrip(req)
}

func ownRequest(ctx context.Context, trigger *http.Request, method string, at view) *http.Request {
	req := trigger.WithContext(ctx)
	req.Method, req.Header = method, own(trigger.Header, at)
	req.Body, req.GetBody, req.ContentLength = nil, nil, 0
	req.Trailer, req.TransferEncoding = nil, nil
	return req
}

// mostAnswer is how much of an answer to a message of ours is read.
const mostAnswer = 1 << 20

var errUnreadable = errors.New("session: the answer has no response")

// response reads the response to the request id from an answer.
func response(res *http.Response, id string) (jsonrpc.Message, error) {
	r := &reading{id: `"` + id, stream: mediaType(res.Header) == "text/event-stream", limit: mostAnswer, length: max(res.ContentLength, 0)}
	p := make([]byte, 4<<10)
	for !r.over {
		n, err := res.Body.Read(p)
		if m, ok := r.write(p[:n], err == io.EOF); ok {
			return m, nil
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return jsonrpc.Message{}, err
		}
	}
	return jsonrpc.Message{}, errUnreadable
}

// spend ends an answer of which nothing more is wanted, so that its connection
// can carry another request if that is cheap.
func spend(res *http.Response) {
	late := time.AfterFunc(time.Second, func() { res.Body.Close() })
	defer late.Stop()
	io.CopyN(io.Discard, res.Body, mostHead)
	res.Body.Close()
}
