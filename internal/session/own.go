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
	"time"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// message is one of ours to the server.
type message struct {
	method string          // needs no escaping
	params json.RawMessage // nil if there are none
}

// encode returns the message as it is sent, with params byte for byte. An empty
// id makes it a notification.
func (m message) encode(id string) []byte {
	b := []byte(`{"jsonrpc":"2.0",`)
	if id != "" {
		b = append(b, `"id":"`+id+`",`...)
	}
	b = append(b, `"method":"`+m.method+`"`...)
	if m.params != nil {
		b = append(append(b, `,"params":`...), m.params...)
	}
	return append(b, '}')
}

// newID returns an id that no client has.
func newID() string { return "injectproxy-" + strings.ToLower(rand.Text()) }

// tell sends a notification, and fails unless the server takes it.
func (t *transport) tell(ctx context.Context, trigger *http.Request, at view, m message) error {
	res, err := t.post(ctx, trigger, at, m.encode(""))
	if err != nil {
		return t.failed(ctx, err)
	}
	defer spend(res)
	if res.StatusCode >= 300 {
		return &failure{reason: "refused"}
	}
	return nil
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
	if !t.o.May(http.MethodDelete) {
		return
	}
	req := ownRequest(ctx, trigger, http.MethodDelete, at)
	delete(req.Header, "Content-Type")
	if res, err := t.next.RoundTrip(req); err == nil {
		spend(res)
	}
}

// discardBeside does that while the client goes on.
func (t *transport) discardBeside(trigger *http.Request, at view) {
	ctx, cancel := context.WithTimeout(t.apart(context.WithoutCancel(trigger.Context())), mostProof)
	stop := context.AfterFunc(t.o.Book.ctx, cancel)
	end := func() {
		defer cancel()
		defer stop()
		t.discard(ctx, trigger, at)
	}
	if !t.o.Book.run(end) {
		stop()
		cancel()
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
