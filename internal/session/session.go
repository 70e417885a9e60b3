// Package session keeps MCP sessions alive that the server has lost: it sees a
// session begin, knows by the server's answers when it is gone, begins another
// in its place with what the client itself had sent, and sends the one message
// that was refused again. The client keeps the id it was given.
//
// It refuses to repeat a client's message that the server may have acted on, to
// revive a session that the client has ended, to begin one that it has not seen begin,
// and to touch protocol versions without sessions (2026-07-28 and later). It
// follows "Transports" of MCP 2025-03-26 to 2025-11-25.
package session

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/injectproxy/injectproxy/internal/replay"
)

// Mode is what is done about a lost session.
type Mode int

// The modes, as rules name them.
const (
	Heal      Mode = iota // begin another session in its place
	Normalise             // answer the 404 of the specification, so that the client does
	Off                   // pass what the server says
)

// Options say how the sessions of one rule are kept. Book is required.
type Options struct {
	Mode Mode
	Book *Book

	// Owner returns on whose behalf a request is made; sessions of different
	// owners are strangers to each other. A nil Owner means that all are one's.
	Owner func(context.Context) string

	// May reports whether requests of a method may be sent: by POST the proxy asks
	// and heals, and by DELETE it ends what nobody uses. It leaves what it may not
	// do to other requests of the session. A nil May allows all.
	May func(method string) bool

	Light    time.Duration // how often a held stream is looked after
	Ping     bool          // by a ping, too
	Hard     time.Duration // a session is replaced this long after it began, while nothing is in flight; 0: never
	Cooldown time.Duration // no recovery at a target for this long after one that failed

	BodyLimit int64          // bytes of a message that may be held to be sent again
	Memory    *replay.Budget // for those of all routes; nil means none

	// Explains reports whether an error of next tells the user of a client what
	// to do, so that it is a better answer than that the session is lost. Late
	// reports whether it says that the server took the request and did not answer
	// in time. A nil one knows no such error.
	Explains, Late func(error) bool

	// Exact has a GET that names an event of a lost session answered by 404, as
	// there is nothing to go on with. That is for clients that wait for the rest of
	// an answer; without it they get a stream of the session as it is now.
	Exact bool

	// Over is closed when this route no longer decides about new requests: a
	// stream that it holds open is then not opened again. It may be nil.
	Over <-chan struct{}

	// Apart returns a context for what goes on beside a request and may outlive
	// it, made from the request's. A nil Apart leaves it as it is.
	Apart func(context.Context) context.Context

	// Note is told what happens to sessions. It may be nil; it is called
	// concurrently and must not wait. The context is that of the request or of
	// the recovery.
	Note func(context.Context, Event)

	// Around is called before each recovery, and what it returns after it, with
	// nil or the reason of its failure. It may be nil.
	Around func(ctx context.Context, target string) (context.Context, func(error))

	Log *slog.Logger // nil discards
}

// EventKind is what happened.
type EventKind int

// The kinds of events.
const (
	Accepted   EventKind = iota // a session has begun
	Lost                        // the server does not know it any more
	Healed                      // another stands in its place
	Failed                      // none could be put there
	Replayed                    // the refused message was sent again
	Dropped                     // a message of the lost session that nobody waits for was not
	Suppressed                  // no recovery was tried, because of the cool-down
	TimedOut                    // the server took a message of the session and did not answer in time
	Reopened                    // a held stream was opened again
	Ended                       // the client ended the session
	kinds
)

var kindNames = [kinds]string{"accepted", "lost", "healed", "failed", "replayed", "dropped", "suppressed", "timed out", "reopened", "ended"}

// String returns the kind as logs and metrics have it.
func (k EventKind) String() string { return kindNames[k] }

// Event is something that happened to a session. It holds no secret.
type Event struct {
	Kind    EventKind
	Session string        // 8 hex digits of the SHA-256 of the client's session id
	Target  string        // host:port and path
	Detail  string        // Lost: the symptom; Failed: the reason; both from a fixed set
	Took    time.Duration // Healed, Failed
}

// Summary is what is known of one live session, for those who look.
type Summary struct {
	Session    string // 8 hex digits of the SHA-256 of the client's session id
	Owner      string
	Target     string
	Version    string // of the protocol
	Began      time.Time
	Used       time.Time
	Recoveries int
	Streams    int  // held open
	Recovering bool // right now
}

// New returns a RoundTripper over next, which it may call with requests of its
// own: initialize, what follows it and what the client has set in the session,
// with the header of the request that met the loss. It never changes a request
// that it is given, and it may be used concurrently if next may.
//
// An answer that is not the sign of a lost session passes as it comes, but for
// the id of the session. So does the sign, unless the loss was mended.
func New(next http.RoundTripper, o Options) http.RoundTripper {
	if o.Mode == Off {
		return next
	}
	if o.Owner == nil {
		o.Owner = func(context.Context) string { return "" }
	}
	if o.May == nil {
		o.May = func(string) bool { return true }
	}
	if o.Note == nil {
		o.Note = func(context.Context, Event) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &transport{next: next, o: o}
}
