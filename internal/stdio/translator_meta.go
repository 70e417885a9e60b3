package stdio

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// member is a member of an object; its value is JSON.
type member struct {
	name  string
	value json.RawMessage
}

// object writes an object of members.
func object(members ...member) []byte {
	return slices.Concat([]byte("{"), listed(members), []byte("}"))
}

// listed writes members as they stand between the braces.
func listed(members []member) []byte {
	var b []byte
	for i, m := range members {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, quoted(m.name)...), ':'), m.value...)
	}
	return b
}

// quoted writes a string.
func quoted(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil { // strings always marshal
		panic(err)
	}
	return b
}

// requestOf writes a request. Without params there are none.
func requestOf(id []byte, method string, params []byte) message {
	members := []member{{"jsonrpc", []byte(`"2.0"`)}, {"id", id}, {"method", quoted(method)}}
	if params != nil {
		members = append(members, member{"params", params})
	}
	raw := object(members...)
	return message{jsonrpc.Message{Kind: jsonrpc.Request, Method: method, ID: id, Params: params}, raw}
}

// resultOf writes the response to a request.
func resultOf(id, value []byte) []byte {
	return object(member{"jsonrpc", []byte(`"2.0"`)}, member{"id", id}, member{"result", value})
}

var errMeta = errors.New("the params of the request are no object with an object as its _meta, which is where this server wants to be told the version of the protocol")

// withMeta returns a request with members put into the _meta of its params,
// but for those that it has there. Every other byte stays.
func withMeta(raw []byte, members []member) ([]byte, error) {
	top, err := jsonrpc.Object(raw)
	if err != nil {
		return nil, err
	}
	meta := func() member { return member{"_meta", object(members...)} }
	at := memberAt(raw, "params")
	if params := top["params"]; params == nil {
		return insert(raw, whole(raw), member{"params", object(meta())}), nil
	} else if string(params) == "null" {
		return splice(raw, at, object(meta())), nil
	}
	params, err := jsonrpc.Object(top["params"])
	if err != nil {
		return nil, errMeta
	}
	if params["_meta"] == nil {
		return insert(raw, at, meta()), nil
	}
	within := memberAt(raw[at.from:at.to], "_meta")
	within = span{at.from + within.from, at.from + within.to}
	if string(params["_meta"]) == "null" {
		return splice(raw, within, object(members...)), nil
	}
	had, err := jsonrpc.Object(params["_meta"])
	if err != nil {
		return nil, errMeta
	}
	missing := slices.DeleteFunc(slices.Clone(members), func(m member) bool { return had[m.name] != nil })
	return insert(raw, within, missing...), nil
}

// withoutMeta returns a request without what makes it a modern one. Every byte
// outside of its _meta stays.
func withoutMeta(raw []byte) []byte {
	params := memberAt(raw, "params")
	within := memberAt(raw[params.from:params.to], "_meta")
	within = span{params.from + within.from, params.from + within.to}
	had, err := jsonrpc.Object(raw[within.from:within.to])
	if err != nil {
		return raw
	}
	var rest []member
	for _, name := range slices.Sorted(maps.Keys(had)) {
		switch name {
		case metaVersion, metaClient, metaCapabilities, metaLevel:
		default:
			rest = append(rest, member{name, had[name]})
		}
	}
	return splice(raw, within, object(rest...))
}

// withParams returns a request with members added to its params, which is an
// object that has none of them.
func withParams(raw []byte, members ...member) []byte {
	return insert(raw, memberAt(raw, "params"), members...)
}

// withResult returns a response with another result.
func withResult(raw []byte, value []byte) []byte { return splice(raw, memberAt(raw, "result"), value) }

// whole is where a message stands that may have space around it.
func whole(raw []byte) span {
	return span{len(raw) - len(bytes.TrimLeft(raw, " \t\r\n")), len(raw)}
}

// insert puts members at the beginning of the object that stands at at.
func insert(raw []byte, at span, members ...member) []byte {
	if len(members) == 0 {
		return raw
	}
	inside := raw[at.from+1 : at.to]
	add := listed(members)
	if bytes.TrimLeft(inside, " \t\r\n")[0] != '}' {
		add = append(add, ',')
	}
	return slices.Concat(raw[:at.from+1], add, raw[at.from+1:])
}
