package session

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// stale reports whether the message is a response to a request that the session
// before this one made: the server must not take it for one to its own, which
// may have the same id. The message is read until it is known to be none, which
// is at its method.
func (x *exchange) stale() bool {
	if x.req.Body == nil || x.req.Body == http.NoBody || x.req.ContentLength > x.t.o.BodyLimit {
		return false
	}
	var read bytes.Buffer
	src := x.req.Body
	answer := mayAnswer(json.NewDecoder(io.TeeReader(io.LimitReader(src, x.t.o.BodyLimit), &read)))
	out := x.req.WithContext(x.req.Context())
	out.Body = &body{Reader: io.MultiReader(bytes.NewReader(read.Bytes()), src), src: src}
	x.req = out
	if !answer {
		return false
	}
	m, err := jsonrpc.Parse(read.Bytes())
	all := []jsonrpc.Message{m}
	if m.Kind == jsonrpc.Batch {
		all, err = jsonrpc.ParseBatch(read.Bytes())
	}
	return err == nil && len(all) > 0 && !x.s.asks(all)
}

// mayAnswer reports whether what d reads is not a message with a method.
func mayAnswer(d *json.Decoder) bool {
	begin, err := d.Token()
	if err != nil {
		return false
	}
	object := begin == json.Delim('{')
	for d.More() {
		if object {
			if name, err := d.Token(); err != nil || name == "method" {
				return false
			}
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return false
		}
	}
	return true
}

// asks reports whether one of the messages is anything but a response that the
// server does not wait for.
func (s *session) asks(all []jsonrpc.Message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range all {
		if m.Kind != jsonrpc.Response || s.asked.has(idText(m.ID)) {
			return true
		}
	}
	return false
}

// heard takes note of an event of the session as it is now, for as long as it
// may be mistaken for the one before.
func (s *session) heard(id, data []byte) {
	if len(id) == 0 && !bytes.Contains(data, []byte(`"method"`)) {
		return
	}
	m, err := jsonrpc.Parse(data)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.turn == 0 {
		return
	}
	if len(id) > 0 {
		s.events.add(string(id))
	}
	if err == nil && m.Kind == jsonrpc.Request {
		s.asked.add(idText(m.ID))
	}
}

// listen has the requests of the server heard in the stream that answers a
// message.
func (x *exchange) listen(res *http.Response) {
	if x.s.now().turn == 0 || mediaType(res.Header) != "text/event-stream" || res.Header.Get("Content-Encoding") != "" {
		return
	}
	src, turn := res.Body, x.at.turn
	cut := &events{limit: 1 << 20}
	res.Body = &body{Reader: readerFunc(func(p []byte) (int, error) {
		n, err := src.Read(p)
		cut.write(p[:n], func(_ []byte, e event) {
			if x.s.now().turn == turn {
				x.s.heard(e.id, e.data)
			}
		})
		return n, err
	}), src: src}
}
