package stdio

import (
	"encoding/json"
	"time"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// gone says that there is no stream in the place of the one that was lost.
func gone(o Options, last error) error {
	line, data := told(o, last)
	f := ours("the connection to the server is lost, and could not be made again within %d s%s", mostWait/time.Second, line)
	f.data = data
	return f
}

// neither says that the server is reached by no transport. What it said first
// counts: most servers are not of 2024-11-05.
func neither(o Options, first *refusal, second error) error {
	line, _ := told(o, second)
	f := ours("%s; as a server of MCP 2024-11-05 it was not reached either%s", first.line(), line)
	f.data = first.problem()
	if code, message, ok := spokenError(first.body); ok {
		f.code, f.line = code, message+" ("+f.line+")"
	}
	return f
}

// told returns what is told of an error at the end of a line.
func told(o Options, err error) (line string, data any) {
	switch e := err.(type) {
	case nil:
		return "", nil
	case *refusal:
		line, data = e.line(), e.problem()
	case *failure:
		line, data = e.line, e.data
	default:
		if line = err.Error(); o.Explain != nil {
			line, data = o.Explain(err)
		}
	}
	return ": " + line, data
}

// spokenError returns the JSON-RPC error that a body is.
func spokenError(body []byte) (code int, message string, ok bool) {
	m, err := jsonrpc.Parse(body)
	if err != nil || m.Kind != jsonrpc.Response || m.Result != nil {
		return 0, "", false
	}
	at := memberAt(body, "error")
	members, err := jsonrpc.Object(body[at.from:at.to])
	if err != nil {
		return 0, "", false
	}
	message, ok = jsonrpc.Text(members["message"])
	return code, message, ok && json.Unmarshal(members["code"], &code) == nil && message != ""
}
