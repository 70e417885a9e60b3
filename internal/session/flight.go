package session

import (
	"context"
	"errors"
	"net/http"
	"time"
)

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
	orphan := s.land(f, fresh, time.Now().Add(t.o.Cooldown))
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
// when somebody has signed in, what was lost is to come back at once. Nor is
// the version that one session had.
func blamed(err error) bool {
	f, ok := errors.AsType[*failure](err)
	return ok && f.err == nil && f != errEnded && f != errOther
}

// land ends a flight, and reports whether nobody tells how. A session that was
// lost rests then: one that is lost again and again is not replaced each time.
func (s *session) land(f *flight, fresh upstream, rest time.Time) (orphan bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.err == nil && (s.ended || s.gone.Load()) {
		f.err = errEnded
	}
	if f.lost && (f.err == nil || f.err == error(errOther)) {
		s.rest = rest
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
