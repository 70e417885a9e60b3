package gate

import (
	"errors"
	"net/http"
)

// codeNoMethod is what JSON-RPC 2.0 has for a method that there is not, by which
// clients find out what a server can do.
const codeNoMethod = -32601

// code is that of the error which says that the message is denied.
func (c *call) code() int {
	if known(c.Method) == notOfMCP {
		return codeNoMethod
	}
	return codeDenied
}

// stateless reports whether the client says that it speaks MCP 2026-07-28 or later,
// which has no sessions: there a method that there is not is answered 404, by which
// clients of the versions before mean a session that is lost.
func (x *exchange) stateless() bool {
	v := x.r.Header["Mcp-Protocol-Version"]
	return len(v) == 1 && len(v[0]) == len("2026-07-28") && v[0] >= "2026-07-28" && len(x.r.Header[headerSession]) == 0
}

// removed reports whether a message that could not be judged has a method which
// the version of MCP that the client speaks has no longer.
func (x *exchange) removed(err error) bool {
	if !errors.Is(err, errParams) || x.message == nil || x.message.batch || !x.stateless() {
		return false
	}
	method := x.message.calls[0].Method
	return method == "resources/subscribe" || method == "resources/unsubscribe"
}

var noSuchMethod = answer{
	status: http.StatusNotFound, kind: "no-method", denied: deniedMethod, code: codeNoMethod,
	title: "This version of MCP has no such method",
}
