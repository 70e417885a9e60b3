// Package jsonrpc reads JSON-RPC 2.0 messages as far as somebody between client
// and server has to: what kind a message is, its method, and the id to answer
// it with.
//
// It reads what every other reader of the same bytes would read, and refuses
// the rest: names are compared exactly, case included, and a name that occurs
// twice, invalid UTF-8, a byte order mark or anything behind the message is an
// error. Readers differ on what those mean, and the one behind the proxy might
// act on another message than the one that was looked at.
package jsonrpc

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// Kind is what a message is.
type Kind int

// The kinds of messages. A request has an id and wants a response; a
// notification has none. A batch is not looked into: see [ParseBatch].
const (
	Request Kind = iota + 1
	Notification
	Response
	Batch
)

// maxID is the most bytes of an id that a request may have. Real ones are
// numbers and UUIDs, and an answer repeats it.
const maxID = 4 << 10

// Message is what is known of a message.
type Message struct {
	Kind   Kind
	Method string          // of a request or notification
	ID     json.RawMessage // a string or a number, byte for byte as it was sent; nil if there is none, or null
	Params json.RawMessage // of a request or notification, as it was sent; nil if there is none
	Result json.RawMessage // of a response, as it was sent; nil if that is an error
	Folded bool            // it has a member that only careless readers take for one of JSON-RPC's: see [FoldedTwice]
}

// Parse reads one message. No error's text has anything of b in it. An id of
// null counts as none, so that what MCP forbids is never answered.
func Parse(b []byte) (Message, error) {
	if !utf8.Valid(b) || !json.Valid(b) {
		return Message{}, errors.New("jsonrpc: the message is not JSON")
	}
	b = bytes.TrimLeft(b, " \t\r\n")
	switch b[0] {
	case '[':
		return Message{Kind: Batch}, nil
	case '{':
	default:
		return Message{}, errors.New("jsonrpc: the message is neither an object nor a batch")
	}
	members, err := object(b)
	if err != nil {
		return Message{}, err
	}
	return message(members)
}

// ParseBatch reads the messages of a batch, none of which is a batch itself. A
// batch in which one message is wrong is wrong as a whole.
func ParseBatch(b []byte) ([]Message, error) {
	if m, err := Parse(b); err != nil {
		return nil, err
	} else if m.Kind != Batch {
		return nil, errors.New("jsonrpc: the message is not a batch")
	}
	var elements []json.RawMessage
	if err := json.Unmarshal(b, &elements); err != nil {
		return nil, err
	}
	all := make([]Message, len(elements))
	for i, e := range elements {
		var err error
		if all[i], err = Parse(e); err != nil {
			return nil, err
		}
		if all[i].Kind == Batch {
			return nil, errors.New("jsonrpc: a batch within a batch")
		}
	}
	return all, nil
}

// Object returns the members of an object, such as the params of a message. Names
// are compared exactly, and one that occurs twice is an error, as are more than
// 10,000. The values are as they stand in b.
func Object(b []byte) (map[string]json.RawMessage, error) {
	if b = bytes.TrimLeft(b, " \t\r\n"); !utf8.Valid(b) || !json.Valid(b) || b[0] != '{' {
		return nil, errors.New("jsonrpc: not an object")
	}
	return object(b)
}

// message judges the members of an object as section 4 and 5 of the JSON-RPC
// 2.0 specification say.
func message(members map[string]json.RawMessage) (m Message, err error) {
	if version, ok := Text(members["jsonrpc"]); !ok || version != "2.0" {
		return m, errors.New(`jsonrpc: the message does not say "jsonrpc": "2.0"`)
	}
	if m.ID, err = id(members["id"]); err != nil {
		return Message{}, err
	}
	for _, name := range [...]string{"jsonrpc", "id", "method", "params", "result", "error"} {
		m.Folded = m.Folded || FoldedTwice(members, name)
	}
	method, isCall := members["method"]
	_, isResult := members["result"]
	_, isError := members["error"]
	switch {
	case isCall && (isResult || isError), isResult && isError:
		return Message{}, errors.New("jsonrpc: the message has more than one of method, result and error")
	case isResult, isError:
		m.Kind, m.Result = Response, members["result"]
	case !isCall:
		return Message{}, errors.New("jsonrpc: the message has none of method, result and error")
	case m.ID == nil:
		m.Kind = Notification
	default:
		m.Kind = Request
	}
	if isCall {
		if m.Method, isCall = Text(method); !isCall {
			return Message{}, errors.New("jsonrpc: the method is not a string")
		}
		m.Params = members["params"]
	}
	return m, nil
}

// id returns the id of a message as it stands, nil if there is none.
func id(raw json.RawMessage) (json.RawMessage, error) {
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return nil, nil
	case len(raw) > maxID:
		return nil, errors.New("jsonrpc: the id is too long")
	case raw[0] == '"' || raw[0] == '-' || '0' <= raw[0] && raw[0] <= '9':
		return raw, nil
	}
	return nil, errors.New("jsonrpc: the id is neither a string nor a number")
}

// Text returns the string that raw is.
func Text(raw json.RawMessage) (s string, ok bool) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	return s, json.Unmarshal(raw, &s) == nil
}

// object returns the members of the object b, which is valid JSON. The values
// are as they stand in b, without the space around them.
func object(b []byte) (map[string]json.RawMessage, error) {
	n := 0
	for range pairs(b) {
		if n++; n > mostMembers {
			return nil, errMembers
		}
	}
	all := make(map[string]json.RawMessage, n)
	for at, value := range pairs(b) {
		name := nameIn(b, at)
		if _, ok := all[name]; ok {
			return nil, errors.New("jsonrpc: a name occurs twice in the message")
		}
		all[name] = bytes.Clone(b[value.From:value.To]) // the caller may use b again
	}
	return all, nil
}

// ErrorBody returns the response that answers the request of the given id with
// an error. An id is repeated as it is; an empty one stands for a request whose
// id could not be read, and becomes null. Data is left out if it is nil or
// cannot be encoded.
func ErrorBody(id json.RawMessage, code int, message string, data any) []byte {
	if len(id) == 0 {
		id = json.RawMessage("null")
	}
	e := struct {
		Code    int             `json:"code"`
		Message string          `json:"message"`
		Data    json.RawMessage `json:"data,omitempty"`
	}{Code: code, Message: message}
	if data != nil {
		e.Data, _ = json.Marshal(data)
	}
	encoded, err := json.Marshal(e)
	if err != nil { // an int, a string and what has been encoded always marshal
		panic(err)
	}
	// Not by json.Marshal, which would escape some characters of the id.
	b := make([]byte, 0, len(id)+len(encoded)+len(`{"jsonrpc":"2.0","id":,"error":}`))
	b = append(b, `{"jsonrpc":"2.0","id":`...)
	b = append(b, id...)
	b = append(b, `,"error":`...)
	b = append(b, encoded...)
	return append(b, '}')
}
