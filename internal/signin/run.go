package signin

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"

	"github.com/injectproxy/injectproxy/internal/token"
)

// run is a sign-in that is under way, or has ended once done is closed.
type run struct {
	attempt Attempt
	tenant  *tenant
	said    atomic.Pointer[string] // what the person was told last
	done    chan struct{}
	err     error // how it ended, for whoever needed just this one
}

// join returns the sign-in to a's tenant that is under way, or begins a's.
// Without either, the error says why; no error means that the source is worth
// asking as it is.
func (c *Controller) join(ctx context.Context, a Attempt) (*run, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.tenants[a.Tenant]
	switch {
	case c.closed:
		return nil, &token.Error{Class: token.Transient, Message: "the proxy is stopping"}
	case t == nil:
		t = &tenant{}
		c.tenants[a.Tenant] = t
	case !t.signedIn.Before(a.Asked):
		return nil, nil
	case t.run != nil:
		return t.run, nil
	}
	if err := ctx.Err(); err != nil { // nobody would wait for it
		return nil, &token.Error{Class: token.SignIn, Message: "a sign-in is needed", Hint: a.Command, Err: err}
	}
	if err := t.refuse(a, c.o.Now()); err != nil {
		return nil, err
	}
	t.run = &run{attempt: a, tenant: t, done: make(chan struct{})}
	c.running.Add(1)
	go c.conduct(t.run)
	return t.run, nil
}

// conduct has r run and settles it, on the Controller's own context: those who
// wait may leave.
func (c *Controller) conduct(r *run) {
	defer c.running.Done()
	log := c.o.Log.With("audience", r.attempt.Audience, "tenant", r.attempt.Tenant)
	log.Warn("a sign-in is needed: opening one", "command", r.attempt.Command)
	c.notify("Sign-in needed", fmt.Sprintf("%s needs a sign-in, which is being opened. From a terminal: %s", r.attempt.Audience, r.attempt.Command))

	ctx, cancel := context.WithTimeout(c.ctx, c.o.Limit)
	err := c.call(ctx, r)
	late := err != nil && ctx.Err() != nil
	cancel()

	now := c.o.Now()
	c.mu.Lock()
	switch {
	case err == nil:
		r.tenant.succeeded(r.attempt, now)
	case c.ctx.Err() != nil:
		r.err = &token.Error{Class: token.Transient, Message: "the proxy is stopping"}
	case late:
		r.err = r.tenant.expired(r.attempt, c.o.Limit, now)
	default:
		r.err = r.tenant.failed(r.attempt, err, now)
	}
	c.mu.Unlock()

	if r.err == nil {
		log.Info("signed in")
		c.o.Done(r.attempt.Tenant)
	} else {
		log.Warn("not signed in", "error", r.err)
	}
	// Only now may another begin: who joined until here learns of this one.
	c.mu.Lock()
	r.tenant.run = nil
	c.mu.Unlock()
	close(r.done)
}

// call runs r. What panics has failed; the panic's text is left out, for it
// may hold anything, unless it is the runtime's.
func (c *Controller) call(ctx context.Context, r *run) (err error) {
	err = errors.New("ended without an answer") // stands after runtime.Goexit
	ended := make(chan struct{})
	go func() { // a goroutine of its own, for runtime.Goexit
		defer close(ended)
		defer func() {
			if p := recover(); p != nil {
				what := fmt.Sprintf("%T", p)
				if e, ok := p.(runtime.Error); ok {
					what = e.Error()
				}
				c.o.Log.Error("the sign-in panicked", "audience", r.attempt.Audience, "panic", what, "stack", string(debug.Stack()))
				err = &token.Error{Message: "panicked: " + what}
			}
		}()
		err = r.attempt.Run(ctx, func(message string) { c.tell(r, message) })
	}()
	<-ended
	return err
}

// tell passes on what the person has to know, if that is new.
func (c *Controller) tell(r *run, message string) {
	message = clean(message)
	if old := r.said.Swap(&message); message == "" || old != nil && *old == message {
		return
	}
	c.o.Log.Warn(message, "audience", r.attempt.Audience, "tenant", r.attempt.Tenant)
	c.notify("Sign-in needed", message)
}

// underWay is what a gets while r goes on.
func (r *run) underWay(ctx context.Context, a Attempt) error {
	e := &token.Error{
		Class: token.SignIn, Message: "a sign-in is under way", Hint: a.Command, Err: ctx.Err(),
		Stale: func() bool {
			select {
			case <-r.done:
				return true
			default:
				return false
			}
		},
	}
	if said := r.said.Load(); said != nil && *said != "" {
		e.Message += ": " + *said
	}
	return e
}
