package token

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"

	"golang.org/x/sync/singleflight"
)

// plain is the key of the query that any valid token answers.
const plain = ""

// query is what a flight is for. Queries with the same key share one.
type query struct {
	key string
	ask Ask
	old Token // any other live token is an answer
}

// plainQuery asks for a token, now that old nears its end or has ended.
func plainQuery(old Token) query { return query{key: plain, old: old} }

// replaceQuery asks for a token other than rejected that meets the claims. The
// claims are part of the key: who was challenged must not share the flight of
// who was not.
func replaceQuery(rejected Token, claims string) query {
	sum := sha256.Sum256([]byte(rejected.Reveal()))
	return query{
		key: string(sum[:]) + claims,
		ask: Ask{Rejected: rejected, Claims: claims},
		old: rejected,
	}
}

// answered reports whether e came while q waited for its turn. A token that
// was asked for without the claims does not meet them.
func (q query) answered(e *entry, now moment) bool {
	return e.live(now) && !e.has(q.old) && q.ask.Claims == ""
}

// start starts q's flight, or joins it. The channel need not be read.
func (c *Cache) start(q query) <-chan singleflight.Result {
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
	defer func() {
		if p := recover(); p != nil {
			a = answer{err: c.panicked(p)}
		}
		a = c.settle(ctx, q, a)
		<-c.turn
		done <- a
	}()
	a.token, a.err = c.src.Token(ctx, q.ask)
}

// settle stores the token that the source gave, or remembers the failure, and
// returns what those who wait get.
func (c *Cache) settle(ctx context.Context, q query, a answer) answer {
	now := c.clock.now()
	before := c.current.Load()
	var e *entry
	if a.err == nil {
		e, a.err = c.accept(a.token, now)
	}
	switch {
	case a.err != nil:
		a = answer{err: c.classify(ctx, a.err)}
	case q.ask != (Ask{}) && e.has(q.old):
		// Stored all the same: it may now end later, and the attempt counts.
		c.current.Store(e)
		a = answer{err: ErrSame}
	default:
		c.current.Store(e)
	}
	c.failures.remember(q.key, a.err, now)
	c.report(q, before, e, a.err)
	return a
}

// accept returns the entry for t unless it is no token or has ended.
func (c *Cache) accept(t Token, now moment) (*entry, error) {
	if t.IsZero() {
		return nil, c.fail(Unknown, "the token source gave neither a token nor an error")
	}
	e := newEntry(t, now)
	if e == nil {
		return nil, &Error{
			Class: Misconfigured, Source: t.source,
			Message: fmt.Sprintf("its token has ended at %s", t.expiry.UTC().Format("2006-01-02 15:04:05Z")),
			Hint:    "renew it; if it is new, check this machine's clock",
		}
	}
	return e, nil
}

// classify makes an [*Error] of any error. Once the context has ended, that is
// the cause of what a source that knows no class reports.
func (c *Cache) classify(ctx context.Context, err error) error {
	var known *Error
	switch {
	case errors.As(err, &known):
		return err
	case ctx.Err() != nil:
		return c.errEnded()
	}
	return &Error{Class: Unknown, Source: c.o.Name, Message: err.Error(), Err: err}
}

// panicked returns the error for a panic with p. Its text is left out, for it
// may hold anything, unless it is the runtime's.
func (c *Cache) panicked(p any) error {
	what := fmt.Sprintf("%T", p)
	if e, ok := p.(runtime.Error); ok {
		what = e.Error()
	}
	c.o.Log.Error("the token source panicked", "audience", c.o.Name, "panic", what, "stack", string(debug.Stack()))
	return c.fail(Unknown, "the token source panicked: "+what)
}

// errEnded is the error of a flight whose context has ended.
func (c *Cache) errEnded() error {
	if c.ctx.Err() != nil {
		return c.errClosed()
	}
	return c.fail(Transient, fmt.Sprintf("the token source did not answer within %v", c.o.Timeout))
}

func (c *Cache) errClosed() error { return c.fail(Transient, "the proxy is stopping") }

func (c *Cache) fail(class Class, message string) error {
	return &Error{Class: class, Source: c.o.Name, Message: message}
}

// report logs how an acquisition ended: before is what was cached, e what the
// source gave.
func (c *Cache) report(q query, before, e *entry, err error) {
	log := c.o.Log.With("audience", c.o.Name)
	if !q.ask.Rejected.IsZero() {
		log = log.With("rejected", q.ask.Rejected.Fingerprint(), "claims", q.ask.Claims != "")
	}
	if e != nil {
		log = log.With("source", e.token.source, "token", e.token.Fingerprint(), "expiry", e.token.expiry)
	}
	switch {
	case errors.Is(err, ErrSame):
		log.Warn("token not replaced: its source gave the same again")
	case err != nil:
		log.Warn("no token", "error", err)
	case before == nil:
		log.Info("first token")
	case before.has(e.token):
		log.Debug("token not renewed: its source gave the same again")
	default:
		log.Info("new token")
	}
}
