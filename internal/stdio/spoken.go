package stdio

import (
	"bytes"
	"encoding/json"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// spoken is what the error of a JSON-RPC response says.
type spoken struct {
	code    int // 0: none that can be read
	message string
	data    json.RawMessage // nil: none
}

// errorIn reads the error of what need not be a whole response. It is false if
// there is none, or none with a code and a message.
func errorIn(raw []byte) (e spoken, ok bool) {
	top, err := jsonrpc.Object(bytes.TrimPrefix(raw, byteOrderMark))
	if err != nil || top["error"] == nil {
		return e, false
	}
	members, err := jsonrpc.Object(top["error"])
	if err != nil {
		return e, false
	}
	e.message, ok = jsonrpc.Text(members["message"])
	e.data = members["data"]
	if json.Unmarshal(members["code"], &e.code) != nil {
		e.code, ok = 0, false
	}
	return e, ok
}

// errorOf is errorIn of what tells eras apart: the code alone will do.
func errorOf(raw []byte) spoken {
	e, _ := errorIn(raw)
	return e
}

// spokenIn reads body, which is to be a response with an error, and returns that
// without what is around it.
func spokenIn(body []byte) (raw []byte, e spoken, ok bool) {
	m, raw, err := parse(bytes.TrimPrefix(body, byteOrderMark))
	if err != nil || m.Kind != jsonrpc.Response || m.Result != nil {
		return nil, e, false
	}
	e, ok = errorIn(raw)
	return raw, e, ok
}
