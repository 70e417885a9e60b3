// Package stdio bridges an MCP client that speaks over standard input and
// output to one server that speaks over HTTP: the streamable transport of MCP
// 2025-03-26 and later, with sessions and without, or the event streams of
// 2024-11-05.
//
// It is a pump of messages: what it reads goes on byte for byte, both ways, and
// it looks into a message only as far as it has to know where that belongs. It
// never lets a request go unanswered, never answers one twice, never repeats one
// that the server may have acted on, and writes nothing to its output but
// messages. It knows nothing of tokens: whoever gives it its Route does.
//
// It follows "Transports" of MCP 2024-11-05 to 2026-07-28 on both sides.
package stdio

import (
	"log/slog"
	"net/http"
	"net/url"
	"time"
)

// Transport is how the server is spoken to.
type Transport int

// The transports. With Auto the answer to the client's first request decides.
const (
	Auto Transport = iota
	HTTP           // streamable HTTP, MCP 2025-03-26 and later
	SSE            // HTTP with server-sent events, MCP 2024-11-05
)

// Options say what is bridged. URL and Route are required.
type Options struct {
	URL   *url.URL          // of the server
	Route http.RoundTripper // takes requests to it; may be used concurrently

	Transport   Transport
	Header      http.Header            // added to each request; has no field that the protocol itself sets
	ToolTimeout time.Duration          // a tools/call without a sign of life for this long is given up; 0: none is
	Tools       func(name string) bool // which tools the client may see and call; nil: all

	// Explain returns what the client's user is told of an error of Route. Data
	// goes into the error's data, and may be nil. A nil Explain tells what the
	// error says.
	Explain func(error) (line string, data any)

	Log *slog.Logger // nil discards. It gets no id, parameter or result
}
