package gate

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// message is what the body of a POST says.
type message struct {
	raw   []byte            // as it was sent
	ids   []json.RawMessage // of its requests, in order
	batch bool
}

// judge reads the body, if there is one, and decides whether the caller may have
// it passed on.
func (g *Gate) judge(x *exchange) bool {
	if x.r.Method != http.MethodPost {
		return true
	}
	b, err := io.ReadAll(io.LimitReader(x.r.Body, g.o.BodyLimit))
	if err != nil {
		return false
	}
	m, err := jsonrpc.Parse(b)
	if err != nil {
		x.refuse(answer{status: http.StatusBadRequest, kind: "no-message", title: "The body is not a JSON-RPC message"})
		return false
	}
	x.message = &message{raw: b}
	if m.Kind == jsonrpc.Request {
		x.message.ids = append(x.message.ids, m.ID)
	}
	x.r.Body = io.NopCloser(bytes.NewReader(b))
	return true
}

// screen takes what the caller may not see out of the lists in an answer.
func (g *Gate) screen(x *exchange, res *http.Response) error { return nil }
