package stdio

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// ask sends a request and waits for its response.
func (t *stream) ask(ctx context.Context, c *call) error {
	if isInitialize(c.message) {
		t.greeting.Store(c)
		defer t.greeting.Store(nil)
	}
	return t.await(ctx, c.answered, func(ctx context.Context) error { return t.send(ctx, c.message, c) })
}

// await sends, and waits until there is the response.
func (t *stream) await(ctx context.Context, answered <-chan struct{}, send func(context.Context) error) error {
	err := t.bounded(ctx, answered, send)
	if err == nil {
		select {
		case <-answered:
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-t.lost:
			err = broke(t.why())
		}
	}
	if isClosed(answered) {
		return nil
	}
	return err
}

// bounded sends, and gives that up when nothing depends on it any more: the
// response is there, or the stream is lost that it would have come on.
func (t *stream) bounded(ctx context.Context, answered <-chan struct{}, send func(context.Context) error) error {
	sending, hangUp := context.WithCancel(ctx)
	var lingering sync.WaitGroup
	lingering.Go(func() {
		select {
		case <-sending.Done():
			return
		case <-answered:
		case <-t.lost:
		}
		late := time.AfterFunc(grace, hangUp)
		defer late.Stop()
		<-sending.Done()
	})
	err := send(sending)
	early := err != nil && sending.Err() != nil
	hangUp()
	lingering.Wait()
	switch {
	case early && ctx.Err() != nil:
		return context.Cause(ctx)
	case early && isClosed(t.lost):
		return broke(t.why())
	}
	return err
}

// tell sends what has no response.
func (t *stream) tell(ctx context.Context, m message) error {
	return t.bounded(ctx, nil, func(ctx context.Context) error { return t.send(ctx, m, nil) })
}

// send returns when the server has taken a message or refused it. A response
// that comes with that is taken, too.
func (t *stream) send(ctx context.Context, m message, on *call) error {
	left := func() {}
	if on != nil {
		left = on.left
	}
	res, err := t.post.post(ctx, m, left)
	left()
	if err != nil {
		return err
	}
	defer func() { res.Body.Close() }()
	switch {
	case res.StatusCode/100 != 2:
		return refused(res)
	case m.Kind != jsonrpc.Request || res.StatusCode != http.StatusOK || mediaType(res.Header) != typeJSON || coded(res.Header):
		spend(res)
		return nil
	}
	raw, leave, err := t.post.whole(ctx, res)
	defer leave()
	if err == nil && len(bytes.TrimSpace(raw)) > 0 {
		t.take(raw, on)
	}
	return err
}

// take delivers what the server says: a message or an array of such.
func (t *stream) take(raw []byte, on *call) {
	var err error
	if b := bytes.TrimLeft(raw, " \t\r\n"); len(b) == 0 || b[0] != '[' || !json.Valid(b) {
		err = t.one(raw, on)
	} else {
		err = eachOf(b, func(m []byte) error { return t.one(m, on) })
	}
	if err != nil {
		t.s.o.Log.Debug("the server sent what is not a message", "error", err)
	}
}

// one delivers a message, but not what the bridge itself has asked for.
func (t *stream) one(raw []byte, on *call) error {
	if t.heed(raw) {
		return nil
	}
	return t.s.deliver(raw, on)
}

// heed takes note of what a message means to the stream, and reports whether it
// is meant for the bridge alone.
func (t *stream) heed(raw []byte) bool {
	greeting := t.greeting.Load()
	if greeting == nil && !t.expects() && !bytes.Contains(raw, []byte(`"method"`)) {
		return false // it is read once, by whom it is delivered to
	}
	m, err := jsonrpc.Parse(raw)
	if err != nil {
		return false
	}
	switch key := keyOf(m.ID); {
	case m.Kind == jsonrpc.Request:
		t.asked.put(key)
	case m.Kind != jsonrpc.Response || m.ID == nil:
	case greeting != nil && key == keyOf(greeting.ID):
		t.s.greeted(t, greeting.message, m)
	default:
		return t.settle(key, m)
	}
	return false
}

// stale reports whether a server may have refused a message because its stream
// is over: by 404, or by a 400 that speaks of that. Nothing was carried out.
func stale(err error) bool {
	r, ok := err.(*refusal)
	switch {
	case !ok:
		return false
	case r.status == http.StatusNotFound:
		return true
	case r.status != http.StatusBadRequest || len(r.body) > mostStale:
		return false
	}
	body := bytes.ToLower(r.body)
	for _, sign := range []string{"no transport found", "session not found", "could not find session", "invalid session", "no valid session", "unknown session", "session closed", "expired session"} {
		if bytes.Contains(body, []byte(sign)) {
			return true
		}
	}
	return false
}

// mostStale is how long such a 400 is: it says nothing else.
const mostStale = 512
