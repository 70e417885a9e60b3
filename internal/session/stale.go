package session

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"

	"github.com/injectproxy/injectproxy/internal/eventstream"
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
	all := messages(read.Bytes())
	return len(all) > 0 && !x.s.asks(all)
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
		if s.blind || m.Kind != jsonrpc.Response || s.asked.has(idText(m.ID)) {
			return true
		}
	}
	return false
}

// heard takes note of an event of the session in its turn, if there was another
// before that it may be mistaken for.
func (s *session) heard(turn int, e eventstream.Event) {
	var asked []jsonrpc.Message
	if bytes.Contains(e.Data, []byte(`method"`)) {
		asked = messages(e.Data)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if turn == 0 || s.turn != turn {
		return
	}
	s.blind = s.blind || e.Part
	if len(e.ID) > 0 && len(e.ID) <= mostID {
		s.events.add(string(e.ID))
	}
	for _, m := range asked {
		if m.Kind == jsonrpc.Request {
			s.asked.add(idText(m.ID))
		}
	}
}

// messages returns what b consists of, a batch or one; nothing if it cannot be
// read.
func messages(b []byte) []jsonrpc.Message {
	m, err := jsonrpc.Parse(b)
	if err == nil && m.Kind == jsonrpc.Batch {
		all, _ := jsonrpc.ParseBatch(b)
		return all
	}
	if err != nil {
		return nil
	}
	return []jsonrpc.Message{m}
}

// listen has the requests of the server heard in an answer that is a stream.
func (x *exchange) listen(res *http.Response) {
	turn := x.at.turn
	if turn == 0 || mediaType(res.Header) != "text/event-stream" {
		return
	}
	if res.Header.Get("Content-Encoding") != "" {
		x.s.heard(turn, eventstream.Event{Part: true})
		return
	}
	src, cut := res.Body, new(eventstream.Splitter)
	res.Body = &body{Reader: readerFunc(func(p []byte) (int, error) {
		n, err := src.Read(p)
		cut.Write(p[:n], func(_ []byte, e eventstream.Event) { x.s.heard(turn, e) })
		return n, err
	}), src: src}
}
