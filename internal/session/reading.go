package session

import (
	"encoding/json"
	"slices"

	"github.com/injectproxy/injectproxy/internal/eventstream"
	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// reading finds the response to one request in an answer that comes piece by
// piece, as JSON or as a stream of events.
type reading struct {
	id     string // of the request: its idText
	stream bool
	limit  int   // bytes that are looked at
	length int64 // of the answer, where it is declared; 0 if not

	events eventstream.Splitter
	held   []byte
	seen   int
	over   bool // found, or given up
	long   bool // given up at the limit
}

// write takes the next bytes, and returns the response that they complete.
// last says that there are no more.
func (r *reading) write(p []byte, last bool) (found jsonrpc.Message, ok bool) {
	if r.over {
		return found, false
	}
	if r.seen += len(p); r.seen > r.limit {
		r.stop()
		r.long = true
		return found, false
	}
	if r.stream {
		r.events.Limit = r.limit
		r.events.Write(p, func(_ []byte, e eventstream.Event) {
			if !ok && !e.Part {
				found, ok = r.response(e.Data)
			}
		})
	} else {
		r.held = append(r.held, p...)
		if last || r.length > 0 && int64(r.seen) >= r.length {
			found, ok = r.response(r.held)
			last = true
		}
	}
	if ok || last {
		r.stop()
	}
	return found, ok
}

func (r *reading) stop() { r.over, r.held, r.events = true, nil, eventstream.Splitter{} }

// response returns the message that data is, if it is the response. What it
// returns does not share data's memory.
func (r *reading) response(data []byte) (jsonrpc.Message, bool) {
	m, err := jsonrpc.Parse(data)
	if err != nil || m.Kind != jsonrpc.Response || idText(m.ID) != r.id {
		return jsonrpc.Message{}, false
	}
	m.ID, m.Result = slices.Clone(m.ID), slices.Clone(m.Result)
	return m, true
}

// idText returns what two spellings of one id have in common. Numbers are
// taken as they are spelled.
func idText(id json.RawMessage) string {
	if s, ok := jsonrpc.Text(id); ok {
		return `"` + s
	}
	return string(id)
}

// upstream is a session as the server has begun it.
type upstream struct {
	id      string // "" if the server has no sessions
	version string
	lists   []string
}

// negotiated returns what the response to an initialize says. Its version is
// one that has sessions, or it says nothing.
func negotiated(m jsonrpc.Message) (u upstream, ok bool) {
	members, err := jsonrpc.Object(m.Result)
	if err != nil {
		return u, false
	}
	u.version, _ = jsonrpc.Text(members["protocolVersion"])
	return upstream{version: u.version, lists: lists(members["capabilities"])}, sessionful(u.version)
}

// lists returns of which lists the server tells when they change.
func lists(raw json.RawMessage) (all []string) {
	capabilities, err := jsonrpc.Object(raw)
	if err != nil {
		return nil
	}
	for _, name := range []string{"tools", "prompts", "resources"} {
		c, err := jsonrpc.Object(capabilities[name])
		if err == nil && string(c["listChanged"]) == "true" {
			all = append(all, name)
		}
	}
	return all
}
