package session

import (
	"context"
	"errors"
	"net"
	"time"
)

// breath is how long a server is left alone that has broken a connection: while
// it restarts it takes none, and the idle ones that it closes with that one are
// found out meanwhile, so that none of them carries the next message.
const breath = 200 * time.Millisecond

// errBroken says that a connection ended before a message of ours was answered.
var errBroken = &failure{reason: "no answer"}

// steady takes a step of a recovery, and once more if the connection broke. That
// does no harm, whatever the server has made of the first try: nobody uses the
// session yet, and what would begin another twice leaves one that nobody knows.
func (t *transport) steady(ctx context.Context, step func() error) error {
	err := step()
	if !errors.Is(err, errBroken) {
		return err
	}
	timer := time.NewTimer(breath)
	defer timer.Stop()
	select {
	case <-timer.C:
		return step()
	case <-ctx.Done():
		return t.failed(ctx, err)
	}
}

// failed says why a message of ours was not answered.
func (t *transport) failed(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &failure{reason: "too late"}
	case ctx.Err() != nil:
		return errEnded
	case t.o.Explains != nil && t.o.Explains(err):
		return &failure{"no token", err}
	case t.broke(err):
		return errBroken
	}
	return &failure{reason: "no answer"}
}

// broke reports whether err is that of a connection, and not of a server that
// takes its time: who waits would wait as long again.
func (t *transport) broke(err error) bool {
	slow, ok := errors.AsType[net.Error](err)
	late := ok && slow.Timeout() || t.o.Late != nil && t.o.Late(err)
	return !late && !errors.Is(err, errUnreadable)
}
