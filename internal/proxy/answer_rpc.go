package proxy

import (
	"strings"
	"unicode"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// errorCode is that of answers to JSON-RPC requests. Of the codes that JSON-RPC
// leaves to servers MCP keeps -32020 to -32099 and -32002 for itself since its
// version 2026-07-28, and leaves -32000 to -32019 to implementations. The low
// ones of those are taken: SDKs mean a closed connection, a time-out or a lost
// session by them, and may try again.
const errorCode = -32016

// rpcBody is a as the error of a JSON-RPC request. Agents show the message and
// nothing else, so it says all that there is to say; programs find the problem
// document in data.
func (a *Answer) rpcBody() []byte {
	return jsonrpc.ErrorBody(a.ID, errorCode, a.Line(), a.problem())
}

// asMessage makes the problem document, which may have members of its own, a
// JSON-RPC error as well. MCP lets the body of a refused notification be one
// "that has no id"; its readers accept only ids that are strings or numbers, so
// it has one that nobody gives.
func (p *problem) asMessage(a *Answer) {
	p.JSONRPC, p.ID = "2.0", new(string)
	p.Error.Code, p.Error.Message = errorCode, a.Line()
}

// Line is the whole of a in one line.
func (a *Answer) Line() string {
	s := a.Error()
	if a.Hint != "" {
		s = strings.TrimRight(s, ".") + ". Hint: " + a.Hint
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s)
}
