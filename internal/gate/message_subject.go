package gate

import (
	"encoding/json"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
	"github.com/injectproxy/injectproxy/internal/listing"
)

// subjects returns what params of a method name.
func subjects(method string, params json.RawMessage) ([]subject, error) {
	switch method {
	case "tools/call":
		return named(Tool, params, "name")
	case "prompts/get":
		return named(Prompt, params, "name")
	case "resources/read", "resources/subscribe", "resources/unsubscribe":
		return named(Resource, params, "uri")
	case "completion/complete":
		return reference(params)
	case "subscriptions/listen":
		return subscriptions(params)
	}
	if disguised(method) {
		return nil, errMethod
	}
	return nil, nil
}

func named(kind Kind, params json.RawMessage, member string) ([]subject, error) {
	name, ok := listing.Name(params, member)
	if !ok {
		return nil, errParams
	}
	return []subject{{kind, name}}, nil
}

// reference reads the ref of a completion/complete.
func reference(params json.RawMessage) ([]subject, error) {
	ref, ok := member(params, "ref")
	if !ok {
		return nil, errParams
	}
	members, err := jsonrpc.Object(ref)
	if err != nil {
		return nil, errParams
	}
	for _, name := range [...]string{"type", "name", "uri"} {
		if jsonrpc.FoldedTwice(members, name) {
			return nil, errParams
		}
	}
	kind, _ := jsonrpc.Text(members["type"])
	_, isName := jsonrpc.Text(members["name"])
	_, isURI := jsonrpc.Text(members["uri"])
	switch {
	case kind == "ref/prompt" && !isURI:
		return named(Prompt, ref, "name")
	case kind == "ref/resource" && !isName:
		return named(Resource, ref, "uri")
	}
	return nil, errParams
}

// subscriptions reads which resources a subscriptions/listen is about, if any.
func subscriptions(params json.RawMessage) (all []subject, err error) {
	wanted, ok := member(params, "notifications")
	if !ok {
		return nil, errParams
	}
	list, ok := member(wanted, "resourceSubscriptions")
	if !ok {
		return nil, errParams
	}
	if list == nil || string(list) == "null" {
		return nil, nil
	}
	uris, err := jsonrpc.Elements(list, mostBatch)
	if err != nil {
		return nil, errParams
	}
	for _, raw := range uris {
		uri, ok := jsonrpc.Text(raw)
		if !ok {
			return nil, errParams
		}
		all = append(all, subject{Resource, uri})
	}
	return all, nil
}

// member returns a member of an object, nil if there is none. It is false unless
// every reader finds the same one. Null, and what is absent, is an object without
// members.
func member(object json.RawMessage, name string) (json.RawMessage, bool) {
	if object == nil || string(object) == "null" {
		return nil, true
	}
	members, err := jsonrpc.Object(object)
	if err != nil || jsonrpc.FoldedTwice(members, name) {
		return nil, false
	}
	return members[name], true
}
