package session

import (
	"context"
	"net/http"
	"time"
)

// holding is what a held stream asks of the session that it belongs to. The
// functions may be called concurrently; renewed, over, tick, greet, seen and
// note may be nil.
type holding struct {
	// open opens the upstream leg of the session's standalone GET under its
	// current id, and recovers the session first if it is lost. fresh says that
	// the session is another than at the last call.
	open func(ctx context.Context, lastEventID string) (res *http.Response, fresh bool, err error)

	live    func() bool               // the session is still the client's
	renewed func() <-chan struct{}    // closed at the next recovery, whoever caused it; asked before each open
	tick    func(ctx context.Context) // on each light tick while a leg stands
	greet   func() []string           // notifications for the client after a healing
	seen    func(data []byte)         // the data of each event, valid during the call only
	note    func(Event)               // Kind alone is set
	over    <-chan struct{}           // closed when the stream must not be opened again
	light   time.Duration             // between two ticks
}

// hold returns the answer to the client's GET: its body outlives the legs that
// carry it. first is the first leg, 200 and text/event-stream.
func hold(ctx context.Context, first *http.Response, h holding) *http.Response {
	_, _ = ctx, h
	return first
}
