// Package signin decides when a person is asked to sign in: never before a
// request needs it, one sign-in at a time per tenant, for as many requests as
// wait for it, and not again for a while after one was declined.
//
// It opens nothing itself. What signs in is handed to it with each [Attempt];
// it refuses to let a request wait for longer than the request may take, and
// to let a notification hold up anything.
package signin

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/injectproxy/injectproxy/internal/token"
)

// Mode says what happens when a sign-in is needed. The zero Mode is [Off].
type Mode string

// The modes. Whatever the mode, the error says what signs in from a terminal.
const (
	Off    Mode = "off"    // nothing
	Notify Mode = "notify" // a notification, with the command
	Auto   Mode = "auto"   // the sign-in is opened
)

const (
	defaultLimit = 3 * time.Minute
	// closeGrace is how long [Controller.Close] waits for a sign-in, or for a
	// notification, that goes on after it was told to end.
	closeGrace = 5 * time.Second
)

// Attempt is a sign-in that somebody needs.
type Attempt struct {
	Tenant   string // sign-ins to one tenant are one at a time; "" stands for the account's own
	Audience string // who needs it
	Command  string // what signs in from a terminal, exact

	// Asked is when the source was asked whose answer was that a sign-in is
	// needed: if one has succeeded since, that answer is out of date. Zero
	// means now.
	Asked time.Time

	// Once says that repeating it is in vain, as when consent is missing that
	// only an administrator can give: once somebody has dealt with it, it is not
	// made again for a day, however it went.
	Once bool

	// Run signs in. It returns nil once that is done, and promptly when ctx
	// ends. What the person has to know goes to tell, until Run returns.
	Run func(ctx context.Context, tell func(message string)) error
}

// Options configure a [Controller]. Their funcs are called concurrently and
// may be nil.
type Options struct {
	Mode   Mode
	Notify func(title, message string) // shows a notification; may be slow
	Done   func(tenant string)         // somebody has signed in; called before those who wait get to know
	Log    *slog.Logger                // nil discards
	Now    func() time.Time            // the wall clock; nil means time.Now
	Limit  time.Duration               // the longest that one sign-in may take; 0 means 3 min
}

// Controller has people sign in. It is safe for concurrent use, does nothing
// until [Controller.SignIn] is called, and is to be closed.
type Controller struct {
	o      Options
	ctx    context.Context // of all sign-ins
	cancel context.CancelFunc

	mu      sync.Mutex // guards what follows
	closed  bool
	tenants map[string]*tenant
	told    recent   // notifications of sign-ins that are needed
	notices []notice // to be shown, in turn
	showing bool     // a goroutine shows them
	running sync.WaitGroup
}

// New returns a Controller that has started nothing.
func New(o Options) *Controller {
	if o.Limit <= 0 {
		o.Limit = defaultLimit
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Done == nil {
		o.Done = func(string) {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Controller{o: o, ctx: ctx, cancel: cancel, tenants: map[string]*tenant{}}
}

// SignIn waits for a sign-in that may help a: the one to its tenant that is
// under way, whatever that is for, or else its own, which it begins. Nil means
// that the source is worth asking again.
//
// Otherwise the result is a [*token.Error] that says how things stand:
//
//   - [token.SignIn]: the mode opens none, or one is under way that did not end
//     in time for ctx. SignIn returns a little before ctx's deadline (a tenth
//     of what was left, at most 2 s), so that there is time to answer. If ctx
//     has ended, the error wraps its error. The sign-in goes on.
//   - [token.Declined]: one was declined, not finished or failed, and the next
//     is not offered yet: after 10 min, 20, 40, then each hour, until one
//     succeeds. Other audiences of the tenant are not offered one either. So
//     it is, for the audience alone, after one that succeeded and did not help.
//   - [token.Consent]: it was to be made once, and has been.
//   - Any other class is the sign-in's own failure, one that concerns the audience
//     alone. That too is not repeated for 10 min; for a minute if the identity
//     service was out of reach, and not at all if a tool is missing.
//
// Hint is a's command unless the failure came with another.
func (c *Controller) SignIn(ctx context.Context, a Attempt) error {
	if a.Asked.IsZero() {
		a.Asked = c.o.Now()
	}
	switch c.o.Mode {
	case Auto:
		return c.auto(ctx, a)
	case Notify:
		c.remind(a)
	}
	return &token.Error{Class: token.SignIn, Message: "a sign-in is needed", Hint: a.Command}
}

// auto joins sign-ins until one succeeds or was a's own.
func (c *Controller) auto(ctx context.Context, a Attempt) error {
	wait, stop := ahead(ctx)
	defer stop()
	for {
		r, err := c.join(ctx, a)
		if r == nil {
			return err
		}
		select {
		case <-r.done:
		case <-wait.Done():
			return r.underWay(ctx, a)
		}
		if r.err == nil {
			return nil
		}
		if r.attempt.Command == a.Command {
			return r.err
		}
	}
}

// ahead returns a context that ends a little before ctx does.
func ahead(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, deadline.Add(-min(2*time.Second, time.Until(deadline)/10)))
}

// Forget ends what keeps sign-ins to tenant from being offered: somebody has
// signed in elsewhere.
func (c *Controller) Forget(tenant string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.tenants[tenant]; t != nil {
		t.forget(c.o.Now())
	}
}

// Close ends the sign-ins that are under way, drops notifications that were
// not shown yet, and waits. A sign-in that goes on all the same is given 5 s
// and then left behind, which is logged. Close may be called again.
func (c *Controller) Close() {
	c.mu.Lock()
	c.closed, c.notices = true, nil
	c.mu.Unlock()
	c.cancel()

	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.running.Wait()
	}()
	grace := time.NewTimer(closeGrace)
	defer grace.Stop()
	select {
	case <-ended:
	case <-grace.C:
		c.o.Log.Warn("a sign-in or a notification did not stop")
	}
}
