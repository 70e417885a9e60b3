package session

import (
	"io"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// fate is what becomes of a message whose session is lost.
type fate int

const (
	stays  fate = iota // it cannot be told what the message is: it stays refused
	repeat             // it is sent again
	done               // the recovery has sent it already
	drop               // nobody waits for it, and it means nothing to another session
)

// fate waits for the rest of the message, as long as that may be held.
func (x *exchange) fate() fate {
	if x.body.Flaw() != nil {
		return stays
	}
	b, ok := x.body.Whole(x.t.o.BodyLimit)
	if !ok {
		var err error
		if b, err = x.rest(); err != nil {
			return stays
		}
	}
	return fateOf(b)
}

// rest reads a message that was refused before its end. Its error is why that
// cannot be sent again.
func (x *exchange) rest() ([]byte, error) {
	attempt, err := x.body.Attempt()
	if err != nil {
		return nil, err
	}
	if attempt.Body == nil {
		return nil, nil
	}
	b, err := io.ReadAll(readerFunc(func(p []byte) (int, error) {
		if err := x.body.Flaw(); err != nil {
			return 0, err
		}
		return attempt.Body.Read(p)
	}))
	if err == nil {
		err = x.body.Flaw()
	}
	if err != nil {
		attempt.Body.Close()
	}
	return b, err
}

func fateOf(b []byte) fate {
	m, err := jsonrpc.Parse(b)
	switch {
	case err != nil, m.Kind == jsonrpc.Request && m.Method == "initialize":
		return stays // a session that begins anew is the client's own recovery
	case m.Kind != jsonrpc.Batch:
		return fateOfOne(m)
	}
	all, err := jsonrpc.ParseBatch(b)
	if err != nil || len(all) == 0 {
		return stays
	}
	dropped, answers := 0, 0
	for _, m := range all {
		if passing(m) {
			dropped++
		}
		if m.Kind == jsonrpc.Response {
			answers++
		}
	}
	switch {
	case dropped == len(all):
		return drop
	case answers > 0:
		return stays // half of it belongs to the old session
	}
	return repeat
}

func fateOfOne(m jsonrpc.Message) fate {
	switch {
	case passing(m):
		return drop
	case m.Kind == jsonrpc.Notification && m.Method == "notifications/initialized":
		return done
	}
	return repeat
}

// passing reports whether a message is about another of its own session: a
// response, or news of a request.
func passing(m jsonrpc.Message) bool {
	return m.Kind == jsonrpc.Response ||
		m.Kind == jsonrpc.Notification && (m.Method == "notifications/cancelled" || m.Method == "notifications/progress")
}
