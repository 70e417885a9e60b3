package stdio

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"sync"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

const (
	mostSubscriptions = 256     // that are remembered
	mostSetting       = 4 << 10 // bytes of the params of one
)

// memory is what a client has said to begin its session, and set in it. The zero
// value is that of a session that has not begun; its owner locks.
type memory struct {
	params        json.RawMessage            // of initialize; nil: none was answered
	version       string                     // of the protocol
	told          []byte                     // the client's notifications/initialized, nil before that
	level         json.RawMessage            // params of the last logging/setLevel
	subscriptions map[string]json.RawMessage // params of resources/subscribe, by URI
}

// greeted takes note of the answer to the client's initialize.
func (s *sse) greeted(t *stream, c message, answer jsonrpc.Message) {
	version, _ := terms(answer.Result)
	if version == "" {
		return
	}
	t.speak(version)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memory = memory{params: append(json.RawMessage{}, c.Params...), version: version}
}

// speak has the version named with what is sent from now on.
func (t *stream) speak(version string) {
	t.post.mu.Lock()
	defer t.post.mu.Unlock()
	t.post.version = version
}

// initialized takes note of what the client said when it was. From now on there
// is always to be a stream.
func (s *sse) initialized(m message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memory.told = bytes.Clone(m.raw)
	if s.stands() == nil {
		s.poke()
	}
}

// note takes note of a request before the client can have its answer. One that
// the server refuses it will refuse again.
func (s *sse) note(m message) {
	if len(m.Params) > mostSetting {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch m.Method {
	case "logging/setLevel":
		s.memory.level = bytes.Clone(m.Params)
	case "resources/subscribe":
		if uri, ok := uriOf(m.Params); ok && len(s.memory.subscriptions) < mostSubscriptions {
			if s.memory.subscriptions == nil {
				s.memory.subscriptions = map[string]json.RawMessage{}
			}
			s.memory.subscriptions[uri] = bytes.Clone(m.Params)
		}
	case "resources/unsubscribe":
		if uri, ok := uriOf(m.Params); ok {
			delete(s.memory.subscriptions, uri)
		}
	}
}

// uriOf returns the resource that the params of a subscription name.
func uriOf(params json.RawMessage) (string, bool) {
	members, err := jsonrpc.Object(params)
	if err != nil {
		return "", false
	}
	return jsonrpc.Text(members["uri"])
}

// messages returns what has to be set in another session, in this order.
func (m *memory) messages() (all []jsonrpc.Message) {
	if m.level != nil {
		all = append(all, jsonrpc.Message{Method: "logging/setLevel", Params: m.level})
	}
	for _, uri := range slices.Sorted(maps.Keys(m.subscriptions)) {
		all = append(all, jsonrpc.Message{Method: "resources/subscribe", Params: m.subscriptions[uri]})
	}
	return all
}

// keys is a set of ids that forgets the oldest. The zero value is empty; it is
// safe for concurrent use.
type keys struct {
	mu  sync.Mutex
	all []string
}

func (k *keys) put(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.all) == mostAsked {
		k.all = k.all[1:]
	}
	k.all = append(k.all, key)
}

// take removes a key, and reports whether it was there.
func (k *keys) take(key string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	i := slices.Index(k.all, key)
	if i < 0 {
		return false
	}
	k.all = slices.Delete(k.all, i, i+1)
	return true
}
