package token

import (
	"context"
	"crypto/sha256"

	"golang.org/x/sync/singleflight"
)

// plain is the key of the query that any valid token answers, quiet that of
// the refresh in the background, for which nobody waits. They do not share a
// flight or a failure: a quiet one may fail where another would have had a
// person sign in, and who waits must not meet what befell nobody.
const (
	plain = ""
	quiet = "quiet"
)

// query is what a flight is for. Queries with the same key share one.
type query struct {
	key  string
	ask  Ask
	seen int // the serial of the entry that was found wanting

	asker context.Context // of the caller who began the flight
}

// plainQuery asks for a token, now that e is none, has ended or has changed.
func plainQuery(e *entry) query { return query{key: plain, seen: e.number()} }

// quietQuery asks for a token while e still serves.
func quietQuery(e *entry) query {
	return query{key: quiet, ask: Ask{Quiet: true}, seen: e.number()}
}

// replaceQuery asks for a token other than rejected that meets the claims. The
// claims are part of the key: who was challenged must not share the flight of
// who was not. They are hashed for their length, which the upstream chooses.
func replaceQuery(rejected Token, claims string) query {
	t, c := sha256.Sum256([]byte(rejected.Reveal())), sha256.Sum256([]byte(claims))
	return query{
		key: string(t[:]) + string(c[:]),
		ask: Ask{Rejected: rejected, Claims: claims},
	}
}

// answered reports whether e, which came while q waited for its turn, makes
// asking needless. A token that was got without the claims does not meet them.
func (q query) answered(e *entry, now moment) bool {
	switch {
	case !e.live(now):
		return false
	case q.ask.Rejected.IsZero():
		return e.serial != q.seen
	}
	return !e.has(q.ask.Rejected) && q.ask.Claims == ""
}

// start starts q's flight for the caller with the context asker, or joins it.
// The channel need not be read.
func (c *Cache) start(asker context.Context, q query) <-chan singleflight.Result {
	q.asker = asker
	return c.flights.DoChan(q.key, func() (any, error) {
		if !c.enter() {
			return nil, c.errClosed()
		}
		defer c.running.Done()
		return c.fly(q)
	})
}

// answer is what a flight ends with.
type answer struct {
	token Token
	err   error
}

// fly gets q's answer in at most the time-out: by its turn from whoever had it
// before, or else from the source.
func (c *Cache) fly(q query) (Token, error) {
	ctx, cancel := context.WithTimeout(c.ctx, c.o.Timeout)
	defer cancel()
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return Token{}, c.errEnded()
	}
	// Who saw no token before the last flight landed, and started this one
	// after, finds the outcome here; so does who waited for its turn.
	now := c.clock.now()
	if e := c.current.Load(); q.answered(e, now) {
		<-c.turn
		return e.token, nil
	}
	if err := c.failures.recall(q.key, now); err != nil {
		<-c.turn
		return Token{}, err
	}
	done := make(chan answer, 1)
	go c.call(ctx, q, done)
	select {
	case a := <-done:
		return a.token, a.err
	case <-ctx.Done():
		return Token{}, c.errEnded()
	}
}

// call has the turn: it calls the source, settles what comes of that and
// gives the turn up. The flight may be over by then.
func (c *Cache) call(ctx context.Context, q query, done chan<- answer) {
	// The first value stands if the source ends this goroutine (runtime.Goexit).
	a := answer{err: c.fail(Unknown, "the token source ended without an answer")}
	epoch := c.failures.epoch()
	told := func(Token, error) {}
	if c.o.Around != nil {
		ctx, told = c.o.Around(ctx, q.asker, q.ask)
	}
	defer func() {
		if p := recover(); p != nil {
			a = answer{err: c.panicked(p)}
		}
		a = c.settle(ctx, q, a, epoch)
		told(a.token, a.err)
		<-c.turn
		done <- a
	}()
	a.token, a.err = c.src.Token(ctx, q.ask)
}
