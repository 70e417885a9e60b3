package session

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// What is remembered of a session to be sent to the one in its place.
const (
	mostSubscriptions     = 256
	mostSubscriptionBytes = 64 << 10
	mostLevel             = 1 << 10
)

// memory is what a client has set in its session. The zero value is ready; its
// owner locks.
type memory struct {
	level         json.RawMessage            // params of the last logging/setLevel
	subscriptions map[string]json.RawMessage // params of resources/subscribe, by URI
	bytes         int                        // of all that
}

// note takes note of a message that the server has accepted, and returns how
// much more is stored for it. What goes beyond the bounds is not remembered.
func (m *memory) note(msg jsonrpc.Message) (grown int) {
	before := m.bytes
	switch {
	case msg.Kind != jsonrpc.Request:
	case msg.Method == "logging/setLevel":
		if len(msg.Params) <= mostLevel {
			m.bytes += len(msg.Params) - len(m.level)
			m.level = slices.Clone(msg.Params)
		}
	case msg.Method == "resources/subscribe":
		if uri, ok := uriOf(msg.Params); ok {
			m.drop(uri)
			m.keep(uri, msg.Params)
		}
	case msg.Method == "resources/unsubscribe":
		if uri, ok := uriOf(msg.Params); ok {
			m.drop(uri)
		}
	}
	return m.bytes - before
}

func (m *memory) keep(uri string, params json.RawMessage) {
	n := len(uri) + len(params)
	if len(m.subscriptions) >= mostSubscriptions || m.bytes+n > mostSubscriptionBytes {
		return
	}
	if m.subscriptions == nil {
		m.subscriptions = map[string]json.RawMessage{}
	}
	m.subscriptions[uri] = slices.Clone(params)
	m.bytes += n
}

func (m *memory) drop(uri string) {
	if params, ok := m.subscriptions[uri]; ok {
		m.bytes -= len(uri) + len(params)
		delete(m.subscriptions, uri)
	}
}

// messages returns what has to be sent to another session, in this order.
func (m *memory) messages() []message {
	var all []message
	if m.level != nil {
		all = append(all, message{"logging/setLevel", m.level})
	}
	for _, uri := range slices.Sorted(maps.Keys(m.subscriptions)) {
		all = append(all, message{"resources/subscribe", m.subscriptions[uri]})
	}
	return all
}

// uriOf returns the resource that the params of a subscription name.
func uriOf(params json.RawMessage) (string, bool) {
	members, err := jsonrpc.Object(params)
	if err != nil {
		return "", false
	}
	return jsonrpc.Text(members["uri"])
}
