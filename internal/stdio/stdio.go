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
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
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

// Bridge is between one client and one server.
type Bridge struct {
	o     Options
	up    upstream
	out   *output
	in    *input
	calls *calls
	order order

	ctx  context.Context // of all that is sent; ends with errEnding
	stop context.CancelCauseFunc

	work   sync.WaitGroup // messages on their way
	beside sync.WaitGroup // what lasts until the end

	legacy    atomic.Bool // there has been an initialize: no request is of a later protocol
	telling   sync.Mutex
	notified  <-chan struct{} // closed when the last notification has been told, nil before the first
	replied   <-chan struct{} // likewise of responses
	listening bool
	notices   notices
}

func newBridge(o Options, up func(*Bridge) upstream) *Bridge {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	b := &Bridge{o: o, calls: newCalls()}
	b.notices.more = make(chan struct{}, 1)
	b.up = up(b)
	return b
}

// Run bridges until in ends, ctx is done or out cannot be written, and returns
// within a second after that. It returns nil at the end of in or of ctx, and
// otherwise what is wrong with in or out. It is called once.
//
// A Read of in, or a Write of out, that does not return is left behind: it ends
// when whoever owns them closes them.
func (b *Bridge) Run(ctx context.Context, in io.Reader, out io.Writer) error {
	b.ctx, b.stop = context.WithCancelCause(context.WithoutCancel(ctx))
	defer b.stop(nil)
	b.out = newOutput(out)
	go b.out.run()
	arrivals, read := make(chan arrival), make(chan error, 1)
	b.in = &input{
		b: b, lines: newLines(in, mostMessage), to: arrivals,
		calls: newRoom(mostCalls, mostBytes), told: newRoom(mostTold, mostBytes),
	}
	go func() { read <- b.in.read(b.ctx) }()
	err := b.pump(ctx, arrivals, read)
	b.finish(ctx)
	return err
}

// pump sends on what the client says, until one of the ends.
func (b *Bridge) pump(ctx context.Context, arrivals <-chan arrival, read <-chan error) (err error) {
	var late <-chan time.Time
	var idle <-chan struct{}
	for {
		if late != nil && idle == nil && b.order.gate == nil { // all has been sent
			idle = b.idle()
		}
		select {
		case a := <-arrivals:
			b.take(a)
		case <-b.order.gate:
			b.opened()
		case err = <-read:
			if err != nil {
				err = fmt.Errorf("read the client's messages: %w", err)
			}
			late = time.After(lastAnswers)
		case <-idle:
			return err
		case <-late:
			return err
		case <-ctx.Done():
			return nil
		case <-b.out.failed:
			return fmt.Errorf("write to the client: %w", b.out.err)
		}
	}
}
