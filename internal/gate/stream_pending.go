package gate

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/injectproxy/injectproxy/internal/eventstream"
	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// mostFollowed is the largest event that is read to see what it answers. A larger
// one is taken for the answer.
const mostFollowed = 64 << 10

// tokenOver is said to requests that have no answer when their stream ends. Without
// it clients would wait for one.
var tokenOver = answer{
	status: http.StatusUnauthorized, kind: "token-over", title: "The access token ran out before the answer came",
	detail: "what was asked for may have been carried out", hint: "Call again with a new token",
}

// pending are the requests that a stream has not answered yet.
type pending struct {
	ids    []json.RawMessage
	events eventstream.Splitter
}

func pendingOf(m *message) *pending {
	if m == nil || len(m.ids) == 0 {
		return nil
	}
	return &pending{ids: slices.Clone(m.ids), events: eventstream.Splitter{Limit: mostFollowed}}
}

// follow takes what goes to the client.
func (o *pending) follow(b []byte) {
	if o.left() {
		o.events.Write(b, o.note)
	}
}

// note looks for answers in an event. One with an id lets the client come back for
// what follows, with a new token, and so for the answer.
func (o *pending) note(_ []byte, e eventstream.Event) {
	switch {
	case e.Part, len(e.ID) > 0:
		o.ids = nil
	case bytes.Contains(e.Data, []byte(`"result"`)) || bytes.Contains(e.Data, []byte(`"error"`)):
		o.answered(e.Data)
	}
}

// answered takes away what a message answers, or those of a batch do. Where that
// cannot be told, all.
func (o *pending) answered(data []byte) {
	type response struct {
		ID     json.RawMessage
		Method *string
	}
	all := make([]response, 1)
	var err error
	if data = bytes.TrimLeft(data, " \t\r\n"); data[0] == '[' {
		err = json.Unmarshal(data, &all)
	} else {
		err = json.Unmarshal(data, &all[0])
	}
	if err != nil {
		o.ids = nil
	}
	for _, r := range all {
		o.ids = slices.DeleteFunc(o.ids, func(id json.RawMessage) bool { return r.Method == nil && sameID(id, r.ID) })
	}
}

// sameID reports whether two ids are the same, also where one is escaped.
func sameID(a, b json.RawMessage) bool {
	one, isText := jsonrpc.Text(a)
	other, areText := jsonrpc.Text(b)
	return bytes.Equal(a, b) || isText && areText && one == other
}

// left reports whether anything is.
func (o *pending) left() bool { return o != nil && len(o.ids) > 0 }

// farewell are the events that end what is open, nil if nothing is.
func (o *pending) farewell() (events []byte) {
	if o == nil {
		return nil
	}
	d := document{Type: "urn:injectproxy:problem:" + tokenOver.kind, Title: tokenOver.title, Status: tokenOver.status, Detail: tokenOver.detail, Hint: tokenOver.hint}
	for _, id := range o.ids {
		events = append(append(append(events, "data: "...), jsonrpc.ErrorBody(id, codeDenied, tokenOver.line(), d)...), "\n\n"...)
	}
	return events
}
