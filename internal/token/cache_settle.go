package token

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
)

// settle stores the token that the source gave, or remembers the failure of
// what began in the given epoch of the failures, and returns what those who
// wait get.
func (c *Cache) settle(ctx context.Context, q query, a answer, epoch int) answer {
	now := c.clock.now()
	before := c.current.Load()
	var e *entry
	if a.err == nil {
		e, a.err = c.accept(a.token, before.number()+1, now)
	}
	switch {
	case a.err != nil:
		a = answer{err: c.classify(ctx, a.err)}
		if errors.Is(a.err, ErrSame) && before != nil {
			// It counts as an attempt to refresh. If another is noted meanwhile, so be it.
			c.current.CompareAndSwap(before, before.attempted(now))
		}
	case e.has(q.ask.Rejected):
		// Stored all the same: it may now end later, and the attempt counts.
		c.current.Store(e)
		a = answer{err: &Error{Source: e.token.source, Message: "gave the refused token again", Err: ErrSame}}
	default:
		c.current.Store(e)
	}
	c.failures.remember(q.key, a.err, now, epoch)
	c.report(q, before, e, a.err)
	return a
}

// accept returns the entry for t unless it is no token or has ended.
func (c *Cache) accept(t Token, serial int, now moment) (*entry, error) {
	if t.IsZero() {
		return nil, c.fail(Unknown, "the token source gave neither a token nor an error")
	}
	e := newEntry(t, serial, now)
	if e == nil {
		return nil, &Error{
			Class: Misconfigured, Source: t.source,
			Message: fmt.Sprintf("its token has ended at %s", t.expiry.UTC().Format("2006-01-02 15:04:05Z")),
			Hint:    "renew it; if it is new, check this machine's clock",
			Stale:   func() bool { return c.o.Now().Before(t.expiry) }, // the clock was set
		}
	}
	return e, nil
}

// classify makes an [*Error] of any error. Once the context has ended, that is
// the cause of whatever a source reports without a class.
func (c *Cache) classify(ctx context.Context, err error) error {
	var known *Error
	switch {
	case errors.As(err, &known) && (known.Class != Unknown || ctx.Err() == nil || errors.Is(err, ErrSame)):
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
