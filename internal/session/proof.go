package session

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// mostProof is how long a client waits for its 404 while the session is asked
// whether it is there.
const mostProof = 5 * time.Second

// errStands says that a session is not lost.
var errStands = errors.New("session: the session stands")

// errNotOurs says that a lost session is for other requests to heal.
var errNotOurs = errors.New("session: no message may be sent here")

// prove returns nil if the sign of a lost session means that. A server that has
// no stream for a GET may say so with 404, too, and some say so of what a message
// is about: where there never was a stream, or that has happened, the session is
// asked.
func (x *exchange) prove(why string) error {
	x.s.mu.Lock()
	known := !x.s.doubted && (x.s.wanted || x.req.Method != http.MethodGet)
	x.s.mu.Unlock()
	if known || why != "404" {
		return nil
	}
	ctx, cancel := context.WithTimeout(x.t.apart(x.req.Context()), mostProof)
	defer cancel()
	refused, err := x.ping(ctx)
	switch {
	case refused != "":
		return nil
	case err != nil:
		return err
	}
	return errStands
}

// ping asks whether the session is there; refused is the sign of its loss.
func (x *exchange) ping(ctx context.Context) (refused string, err error) {
	ctx, cancel := context.WithTimeout(ctx, mostRecovery)
	defer cancel()
	return x.t.ask(ctx, x.req, x.at, message{method: "ping"})
}

// refused says that a message was refused in the next session as in the old one,
// which then may never have been lost: a 404 proves nothing here from now on. The
// old one is ended, unless the server may be at work for it.
func (x *exchange) refused(why string, old view) {
	x.note(Event{Kind: Failed, Detail: "refused again"})
	x.s.mu.Lock()
	first := why == "404" && !x.s.doubted
	x.s.doubted = x.s.doubted || first
	alone := x.s.calls <= 1
	x.s.mu.Unlock()
	if first && alone && old.id != "" {
		x.t.discardBeside(x.req, old)
	}
}
