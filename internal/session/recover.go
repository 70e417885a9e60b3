package session

import (
	"context"
	"net/http"
	"time"
)

// mostRecovery is how long a recovery may take: who waits for it would wait for
// a connection that takes that long, too.
const mostRecovery = 30 * time.Second

// failure is why no session could be put in the place of another. Its reasons
// are a fixed set.
type failure struct {
	reason string
	err    error // of next, where that tells more than the server's answer; else nil
}

// Error implements error.
func (f *failure) Error() string { return "session: the recovery failed: " + f.reason }

// Unwrap returns the error of the layer below.
func (f *failure) Unwrap() error { return f.err }

var (
	errEnded   = &failure{reason: "ended"}
	errResting = &failure{reason: "cool-down"}
	errOther   = &failure{reason: "other version"}
)

// flight puts another session in the place of one. Whoever needs it waits for
// it, and nobody who leaves ends it.
type flight struct {
	old  view
	lost bool // or its time was over

	done  chan struct{} // closed when what follows is set
	err   error
	event Event

	orphan bool // who started it has left; guarded by the session
}

// recover puts another session in the place of the lost one, or waits until
// somebody else has.
func (x *exchange) recover(why string) error {
	ctx, s := x.req.Context(), x.s
	s.mu.Lock()
	f := s.flight
	switch {
	case s.ended || s.gone.Load():
		s.mu.Unlock()
		return errEnded
	case f == nil && s.turn != x.at.turn: // somebody has
		s.mu.Unlock()
		return nil
	case f != nil:
		s.mu.Unlock()
		return f.wait(ctx)
	case time.Now().Before(s.rest) || x.t.o.Book.rests.resting(s.key.target):
		s.mu.Unlock()
		x.note(Event{Kind: Suppressed})
		return errResting
	}
	f = s.depart(true)
	s.mu.Unlock()
	x.note(Event{Kind: Lost, Detail: why})
	x.t.launch(ctx, s, x.req, f)
	return x.t.follow(ctx, s, f)
}

func (f *flight) wait(ctx context.Context) error {
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// reset begins another session if the cadence for that is due and nothing else
// is in flight. It returns when a request may be sent.
func (t *transport) reset(ctx context.Context, s *session, trigger *http.Request) {
	if t.o.Hard <= 0 || !t.o.May(http.MethodPost) {
		return
	}
	s.mu.Lock()
	due := s.flight == nil && s.calls == 0 && !s.ended && !s.gone.Load() && sessionful(s.version) && !sessionless(trigger.Header) &&
		time.Since(s.since) >= t.o.Hard && !t.o.Book.rests.resting(s.key.target)
	var f *flight
	if due {
		f = s.depart(false)
	}
	s.mu.Unlock()
	if due {
		t.launch(ctx, s, trigger, f)
		t.follow(ctx, s, f)
	}
}
