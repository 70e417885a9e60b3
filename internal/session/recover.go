package session

import (
	"context"
	"errors"
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
	case x.t.o.Book.rests.resting(s.key.target):
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

// follow waits for a flight that it has started, and tells how that ended. If
// the client leaves before, the flight tells it.
func (t *transport) follow(ctx context.Context, s *session, f *flight) error {
	err := f.wait(ctx)
	s.mu.Lock()
	f.orphan = s.flight == f
	s.mu.Unlock()
	if !f.orphan {
		<-f.done // at once
		t.note(ctx, s, f.event)
	}
	return err
}

// depart makes a flight that others wait for, with the lock held.
func (s *session) depart(lost bool) *flight {
	s.flight = &flight{done: make(chan struct{}), old: s.view(), lost: lost}
	return s.flight
}

// launch starts a flight. trigger has the header that the messages of the
// recovery are sent with.
func (t *transport) launch(ctx context.Context, s *session, trigger *http.Request, f *flight) {
	ctx, told := t.around(ctx, s)
	ctx, cancel := context.WithTimeout(ctx, mostRecovery)
	stop := context.AfterFunc(t.o.Book.ctx, cancel)
	fly := func() {
		defer cancel()
		defer stop()
		t.fly(ctx, s, trigger, f)
		told(f.err)
	}
	if !t.o.Book.run(fly) {
		cancel() // the Book is closed
		fly()
	}
}

// around returns the context of a recovery: with what the request's has to
// say, but not ended by the client.
func (t *transport) around(ctx context.Context, s *session) (context.Context, func(error)) {
	ctx = t.apart(context.WithoutCancel(ctx))
	if t.o.Around == nil {
		return ctx, func(error) {}
	}
	return t.o.Around(ctx, s.key.target)
}

func (t *transport) apart(ctx context.Context) context.Context {
	if t.o.Apart == nil {
		return ctx
	}
	return t.o.Apart(ctx)
}

// fly is a flight.
func (t *transport) fly(ctx context.Context, s *session, trigger *http.Request, f *flight) {
	begun := time.Now()
	fresh, err := t.replace(ctx, s, trigger)
	if f.lost && blamed(err) { // before anybody can start another
		t.o.Book.rests.begin(s.key.target, t.o.Cooldown)
	}
	f.err, f.event = err, Event{Kind: Healed}
	orphan := s.land(f, fresh)
	f.event.Took = time.Since(begun)
	if orphan {
		t.note(ctx, s, f.event)
	}
	close(f.done)
	switch {
	case f.err != nil && fresh.id != "":
		t.discard(ctx, trigger, view{id: fresh.id, version: fresh.version})
	case f.err == nil && !f.lost && f.old.id != "":
		t.discard(ctx, trigger, f.old)
	}
}

// blamed reports whether err is the target's fault. Want of a token is not, and
// when somebody has signed in, what was lost is to come back at once.
func blamed(err error) bool {
	f, ok := errors.AsType[*failure](err)
	return ok && f.err == nil && f != errEnded
}

// land ends a flight, and reports whether nobody tells how.
func (s *session) land(f *flight, fresh upstream) (orphan bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.err == nil && (s.ended || s.gone.Load()) {
		f.err = errEnded
	}
	switch {
	case f.err == nil:
		s.adopt(fresh)
	case !f.lost:
		s.since = time.Now() // the next is not due before its time
	}
	if f.err != nil {
		f.event = Event{Kind: Failed, Detail: reason(f.err)}
	}
	s.flight = nil
	return f.orphan
}

func reason(err error) string {
	if f, ok := errors.AsType[*failure](err); ok {
		return f.reason
	}
	return "no answer"
}

// reset begins another session if the cadence for that is due and nothing else
// is in flight. It returns when a request may be sent.
func (t *transport) reset(ctx context.Context, s *session, trigger *http.Request) {
	if t.o.Hard <= 0 {
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
