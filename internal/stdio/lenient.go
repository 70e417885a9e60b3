package stdio

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// parse reads a message as [jsonrpc.Parse] does. Of a response whose result
// stands beside an error that is null, or the other way round, as some libraries
// write it, it returns what is left without the null.
func parse(b []byte) (m jsonrpc.Message, raw []byte, err error) {
	if m, err = jsonrpc.Parse(b); err == nil {
		return m, b, nil
	}
	if raw = withoutNull(b); raw != nil {
		if m, err := jsonrpc.Parse(raw); err == nil {
			return m, raw, nil
		}
	}
	return m, b, err
}

// withoutNull returns b without the one of its outcomes that is null, nil if it
// has not both.
func withoutNull(b []byte) []byte {
	members, err := jsonrpc.Object(b)
	if err != nil || members["result"] == nil || members["error"] == nil || members["method"] != nil {
		return nil
	}
	switch null := json.RawMessage("null"); {
	case bytes.Equal(members["error"], null):
		delete(members, "error")
	case bytes.Equal(members["result"], null):
		delete(members, "result")
	default:
		return nil
	}
	var all []member
	for _, name := range slices.Sorted(maps.Keys(members)) {
		all = append(all, member{name, members[name]})
	}
	return object(all...)
}
