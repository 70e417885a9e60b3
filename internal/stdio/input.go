package stdio

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
	"golang.org/x/sync/semaphore"
)

// What of the client's is in flight at most: beyond it nothing is read.
const (
	mostCalls = 4096
	mostTold  = 4096      // notifications and responses
	mostBytes = 256 << 20 // of either
)

// patience is how long a request waits for room while the server waits for the
// client: the reply may be behind it, and calls that take the room wait for that.
const patience = 10 * time.Second

// arrival is a message of the client's, or what is wrong with one whose id can
// be answered.
type arrival struct {
	message
	wrong *failure
	calls int64 // 1 of a request
	size  int64
}

// input reads what the client says. It belongs to one goroutine, but for release.
type input struct {
	b     *Bridge
	lines *lines
	to    chan<- arrival

	calls, told room
}

// room is that for requests, or for what is told. Each has its own: what is told
// is soon over, and requests may wait for it.
type room struct{ messages, bytes *semaphore.Weighted }

func newRoom(messages, bytes int64) room {
	return room{semaphore.NewWeighted(messages), semaphore.NewWeighted(bytes)}
}

// read reads until the end of the input, which it returns as nil, or of ctx.
func (in *input) read(ctx context.Context) error {
	for {
		line, tooLong, err := in.lines.next()
		if err == nil {
			if tooLong != nil {
				err = in.refuse(ctx, tooLong, "the message is larger than 64 MiB")
			} else {
				err = in.line(ctx, line)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// line takes one line: a message or, in MCP 2025-03-26, a batch of them.
func (in *input) line(ctx context.Context, line []byte) error {
	m, line, err := parse(line)
	switch {
	case err != nil:
		return in.malformed(ctx, line, err)
	case m.Kind == jsonrpc.Batch:
		return in.batch(ctx, line)
	}
	return in.take(ctx, message{m, line})
}

var errEmptyBatch = errors.New("the batch is empty")

func (in *input) batch(ctx context.Context, b []byte) error {
	empty := true
	err := eachOf(b, func(element []byte) error {
		empty = false
		m, element, err := parse(element)
		if err != nil || m.Kind == jsonrpc.Batch {
			return in.malformed(ctx, element, err)
		}
		return in.take(ctx, message{m, element})
	})
	if empty && err == nil {
		return in.malformed(ctx, b, errEmptyBatch)
	}
	return err
}

// take hands m on, unless it is what no server may be sent. MCP forbids an id
// that is null, and servers differ in what they make of it: most of them would
// act on the request.
func (in *input) take(ctx context.Context, m message) error {
	switch {
	case m.Kind != jsonrpc.Notification:
	case memberAt(m.raw, "id").to > 0:
		in.b.o.Log.Warn("what the client sent has null for an id, to which there is no answer: dropped", "method", short(m.Method))
		return nil
	case in.b.forbidden(m) != nil:
		in.b.o.Log.Warn("the client called a tool that it may not, without an id to answer: dropped")
		return nil
	}
	return in.pass(ctx, arrival{message: m})
}

// malformed refuses what is no message, if an id can be read in it all the same.
func (in *input) malformed(ctx context.Context, b []byte, err error) error {
	g := glanceAt(b)
	if !json.Valid(b) && g.deepest <= mostDepth {
		g.broken = true
	}
	line := "the message is not a JSON-RPC request"
	if err != nil {
		line = err.Error()
	}
	return in.refuse(ctx, g, line)
}

func (in *input) refuse(ctx context.Context, g *glance, line string) error {
	id, ok := g.request()
	if id, ok := g.response(); ok {
		return in.misreply(ctx, id, line)
	}
	if !ok {
		in.b.o.Log.Warn("what the client sent is no message, and has no id to answer: dropped", "reason", line)
		return nil
	}
	in.b.o.Log.Warn("what the client sent is no message: refused", "reason", line)
	m := message{Message: jsonrpc.Message{Kind: jsonrpc.Request, ID: id}}
	return in.pass(ctx, arrival{message: m, wrong: &failure{code: codeInvalid, line: line}})
}

// misreply has the server told that there is no reply to its request of that id:
// else it would wait for one, and the call with it that it has asked for.
func (in *input) misreply(ctx context.Context, id json.RawMessage, line string) error {
	in.b.o.Log.Warn("what the client replied is no message: the server is told of an error instead", "reason", line)
	raw := jsonrpc.ErrorBody(id, codeInvalid, "what the client replied is not a JSON-RPC response", nil)
	m, err := jsonrpc.Parse(raw)
	if err != nil { // its id is one that no server can have given
		return nil
	}
	return in.pass(ctx, arrival{message: message{m, raw}})
}

// pass hands a on as soon as so much may be in flight.
func (in *input) pass(ctx context.Context, a arrival) error {
	if a.Kind == jsonrpc.Request {
		a.calls = 1
	}
	a.size = int64(len(a.raw))
	err := in.admit(ctx, a)
	if errors.Is(err, errCrowded) { // which is told at once
		a = arrival{message: message{Message: a.Message}, wrong: errCrowded}
		err = in.admit(ctx, a)
	}
	if err != nil {
		return err
	}
	select {
	case in.to <- a:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

var errCrowded = &failure{code: codeOurs, line: "too many requests are under way, and the server waits for replies: this one was not sent. Hint: try again later"}

// admit waits until there is room for a.
func (in *input) admit(ctx context.Context, a arrival) error {
	r := in.roomOf(a)
	if err := in.acquire(ctx, r.messages, 1, a.calls > 0); err != nil {
		return err
	}
	err := in.acquire(ctx, r.bytes, a.size, a.calls > 0)
	if err != nil {
		r.messages.Release(1)
	}
	return err
}

// acquire waits for n of s. For a request it fails with errCrowded rather than
// keep a reply from being read.
func (in *input) acquire(ctx context.Context, s *semaphore.Weighted, n int64, request bool) error {
	if !request {
		return s.Acquire(ctx, n)
	}
	for !s.TryAcquire(n) {
		waiting, cancel := context.WithTimeout(ctx, patience)
		err := s.Acquire(waiting, n)
		cancel()
		switch {
		case err == nil, ctx.Err() != nil:
			return err
		case in.b.calls.asking():
			return errCrowded
		}
	}
	return nil
}

func (in *input) roomOf(a arrival) room {
	if a.calls > 0 {
		return in.calls
	}
	return in.told
}

// release takes note that a is not in flight any more.
func (in *input) release(a arrival) {
	r := in.roomOf(a)
	r.bytes.Release(a.size)
	r.messages.Release(1)
}

// eachOf calls take with each element of the array b, which is valid JSON.
func eachOf(b []byte, take func(element []byte) error) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if _, err := d.Token(); err != nil { // the bracket
		return err
	}
	for d.More() {
		var element json.RawMessage
		if err := d.Decode(&element); err != nil {
			return err
		}
		if err := take(element); err != nil {
			return err
		}
	}
	return nil
}
