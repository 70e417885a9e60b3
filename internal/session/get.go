package session

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"github.com/injectproxy/injectproxy/internal/eventstream"
)

// get opens a stream of the server's own messages. It is held: it outlives what
// carries it, and the session upstream. The stream that answers a message is not,
// when the client resumes it; that is a call in flight.
func (x *exchange) get() (*http.Response, error) {
	s := x.s
	at, leave, err := x.open()
	if err != nil {
		return nil, err
	}
	resumes := x.req.Header.Get(headerLast) != ""
	if resumes && !s.knows(x.req.Header.Get(headerLast)) {
		if x.t.o.Exact {
			leave()
			return x.answer(http.StatusNotFound), nil
		}
		x.resume("")
	}
	res, err := x.send(at)
	if err == nil && x.heals() && !(resumes && x.t.o.Exact) {
		res, err = x.reopen(res)
	}
	if err != nil {
		leave()
		return x.pass(nil, err)
	}
	if !followable(res) || !s.heals(x.req.Header) {
		x.listen(res)
		whenClosed(res, leave)
		return x.pass(res, nil)
	}
	left := s.enter(&s.streams)
	s.want()
	if last := x.req.Header.Get(headerLast); last == "" || s.holds(last) {
		leave()
		res = hold(x.t.apart(x.req.Context()), res, x.holding(s.ungreeted()))
	} else {
		x.listen(res)
	}
	whenClosed(res, func() { leave(); left(); x.t.o.Book.touch(s) })
	return x.pass(res, nil)
}

// open waits until the session can be used. What the client resumes may be
// a call at which the server is at work.
func (x *exchange) open() (at view, leave func(), err error) {
	ctx, s, last := x.req.Context(), x.s, x.req.Header.Get(headerLast)
	if last != "" && s.knows(last) && !s.holds(last) {
		return s.join(ctx)
	}
	x.t.reset(ctx, s, x.req)
	err = s.settled(ctx)
	return s.now(), func() {}, err
}

// reopen returns the answer to another try if res is the sign of a lost session
// and another could be put in its place.
func (x *exchange) reopen(res *http.Response) (*http.Response, error) {
	why := symptom(res)
	if why == "" {
		return res, nil
	}
	err := x.prove(why)
	if err == nil {
		err = x.recover(why)
	}
	switch {
	case err == nil:
	case x.t.o.Explains != nil && x.t.o.Explains(err):
		spend(res)
		return nil, err
	default:
		return res, nil
	}
	spend(res)
	x.resume("")
	old := x.at
	res, err = x.send(x.s.now())
	if err != nil {
		return nil, err
	}
	x.note(Event{Kind: Replayed})
	if why := symptom(res); why != "" {
		x.refused(why, old)
	}
	return res, nil
}

// resume has the request name the last event that the client has, or none.
func (x *exchange) resume(last string) {
	out := x.req.WithContext(x.req.Context())
	out.Header = named(x.req.Header, x.s.key.id)
	delete(out.Header, headerLast)
	if last != "" {
		out.Header[headerLast] = []string{last}
	}
	x.req = out
}

// holding is what the client's stream needs to be held. fresh says that its
// session is not the one that the client was told of.
func (x *exchange) holding(fresh bool) holding {
	s, t, at := x.s, x.t, x.at
	// A tick may last while the next leg is opened: each has a context of its own.
	beside := func(ctx context.Context) *exchange {
		return &exchange{t: t, s: s, req: x.req.WithContext(t.apart(ctx))}
	}
	return holding{
		open: func(ctx context.Context, last string) (*http.Response, bool, error) {
			y, before := beside(ctx), at.turn
			y.resume(last)
			res, err := y.leg(before)
			at = y.at
			return res, at.turn != before, err
		},
		renewed: func() <-chan struct{} { return at.renewed },
		live:    s.live,
		tick:    func(ctx context.Context) { beside(ctx).tick() },
		greet:   s.greetings,
		seen: func(e eventstream.Event) {
			s.follow(e)
			s.heard(at.turn, e)
		},
		note:  func(e Event) { t.note(x.req.Context(), s, e) },
		over:  t.o.Over,
		light: t.o.Light,
		fresh: fresh,

		lastEventID: x.req.Header.Get(headerLast),
	}
}

// leg opens what carries a held stream from now on; turn is the session's that
// carried it before. An error means that it may be worth another try.
func (x *exchange) leg(turn int) (*http.Response, error) {
	x.at = x.s.now()
	if err := x.s.settled(x.req.Context()); err != nil {
		return nil, err
	}
	at := x.s.now()
	if at.turn != turn {
		x.resume("")
	}
	res, err := x.opening(at)
	if err != nil {
		return nil, err
	}
	why := symptom(res)
	switch {
	case why == "" || !x.s.heals(x.req.Header):
		return res, nil
	case !x.heals(): // a call may heal it
		spend(res)
		return nil, errNotOurs
	}
	err = x.prove(why)
	if err == nil {
		err = x.recover(why)
	}
	if errors.Is(err, errStands) || errors.Is(err, errOther) {
		return res, nil
	}
	spend(res)
	if err != nil {
		return nil, err
	}
	x.resume("")
	return x.opening(x.s.now())
}

// opening sends the GET of a leg, unless the route does not decide any more. A
// server that does not answer it is given up when the session is renewed. The
// leg ends with the request's context.
func (x *exchange) opening(at view) (*http.Response, error) {
	if isClosed(x.t.o.Over) {
		return nil, errEnded
	}
	ctx, cancel := context.WithCancel(x.req.Context())
	opened := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case <-at.renewed:
			cancel()
		case <-opened:
		}
	})
	client := x.req
	x.req = client.WithContext(ctx)
	res, err := x.send(at)
	x.req = client
	close(opened)
	watching.Wait()
	if err != nil {
		cancel()
	}
	return res, err
}

// tick looks after a session that has a held stream.
func (x *exchange) tick() {
	ctx := x.req.Context()
	x.t.reset(ctx, x.s, x.req)
	if !x.t.o.Ping || x.s.settled(ctx) != nil || !x.heals() {
		return
	}
	x.at = x.s.now()
	if refused, _ := x.ping(ctx); refused != "" {
		x.recover(refused)
	}
}

// want takes note that the server has streams of its own messages.
func (s *session) want() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted = true
}

// knows reports whether an event may be one of the session as it is now.
func (s *session) knows(event string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.turn == 0 || s.events.has(event)
}

// follow takes note of an event of a held stream. holds reports whether one was
// of such a stream.
func (s *session) follow(e eventstream.Event) {
	if !e.HasID || len(e.ID) == 0 || len(e.ID) > mostID {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held.add(string(e.ID))
}

func (s *session) holds(event string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held.has(event)
}

// ungreeted reports whether the client has had no stream on which it could be
// told of the session as it is now.
func (s *session) ungreeted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.turn != s.greeted
}

// greetings are the notifications that have a client read again what may be
// different in the new session.
func (s *session) greetings() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.greeted = s.turn
	var all []string
	for _, name := range s.lists {
		all = append(all, string(message{method: "notifications/" + name + "/list_changed"}.encode("")))
	}
	return all
}
