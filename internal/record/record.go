// Package record carries what the layers of one request learn about it, from
// the layer that knows to the one that writes it down. The proxy puts a
// [Record] into the request's context; the route fills it; telemetry reads it
// once the response has ended.
//
// A Record holds no secret: a token appears as its fingerprint only.
package record

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// Record is what is known about one intercepted request. It is written by the
// goroutine that serves the request, and read by that one or after it is done
// with it; it is not safe for use by several goroutines at once.
type Record struct {
	Start     time.Time // when the request's header had been read
	Answered  time.Time // when the header of the final answer went downstream, zero if none did
	Client    string    // name of the client of a shared instance, "" if it has none
	Team      string    // team of the rule, "" for config.toml's own
	Rule      string    // rule that matched, "" if the request was forwarded as it is
	Kind      string    // kind of that rule: mcp, llm, share, http
	Method    string
	Authority string // host:port
	Path      string // without query
	Status    int    // status sent downstream, 0 if the client left before
	Bytes     int64  // body bytes sent downstream
	Stream    bool   // the answer is an event stream or an upgraded connection

	Source      string // credential source of the token, "" if none was attached
	Fingerprint string // 8 hex digits of the token's SHA-256
	Attempts    int    // times the request was sent upstream
	Retry       string // how a 401 was handled, "" if there was none
	Session     string // what was done about a lost MCP session, "" if nothing was
	Problem     string // title of the proxy's own answer, "" if the upstream answered

	// Telemetry's own, set when the request begins and then left alone.
	Span    trace.Span // nil where requests are not traced
	Counted any        // where the request is counted, nil if nowhere
	Remark  *Remark    // becomes Session; nil where there are no sessions
}

type key struct{}

// NewContext returns a context that carries r.
func NewContext(ctx context.Context, r *Record) context.Context {
	return context.WithValue(ctx, key{}, r)
}

// FromContext returns the record that ctx carries. Without one it returns a
// new Record that nobody reads, so that callers need no special case.
func FromContext(ctx context.Context) *Record {
	if r, ok := ctx.Value(key{}).(*Record); ok {
		return r
	}
	return new(Record)
}
