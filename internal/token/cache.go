package token

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
)

// ErrSame is in the [*Error] that [Cache.Replace] returns when the source has
// only the token that was refused: sending the request again would be in vain. A
// source that knows so itself returns an *Error that wraps it, with a Hint.
var ErrSame = errors.New("the source gave the refused token again")

// defaultTimeout bounds an acquisition unless [Options] say otherwise: az has
// been seen to take 13 s, a managed identity behind a restart longer.
const defaultTimeout = 45 * time.Second

// closeGrace is how long [Cache.Close] waits for a source that goes on after
// its context has ended.
const closeGrace = 5 * time.Second

// Options configure a [Cache]. The zero Options are valid: no refresh before
// expiry, acquisitions of at most 45 s, the machine's clock, no log.
type Options struct {
	Name    string           // the audience, for logs and errors
	Margin  time.Duration    // refresh in the background this long before expiry
	Timeout time.Duration    // the longest one acquisition may take
	Now     func() time.Time // the wall clock; nil means time.Now
	Log     *slog.Logger     // nil discards

	// Around is called before each acquisition, and what it returns after it,
	// with the token or the error. Ctx is that of the acquisition, which goes on
	// with the context that is returned; asker is that of the caller who had it
	// begin, for the values that it carries, and may have ended. It may be nil.
	Around func(ctx, asker context.Context, ask Ask) (context.Context, func(Token, error))
}

// Cache keeps the token of one audience: it hands out the one it has, and asks
// the source for another when that one nears its end, has ended or was
// refused. It is safe for concurrent use; two Caches share nothing.
//
//   - The source answers one call at a time. Those who want the same share the
//     call, which runs on the Cache's own context: a caller whose context ends
//     leaves alone, and the others get their token.
//   - A token that has ended is never returned. It has ended when the wall clock
//     passes its expiry (a machine that slept) or when it has run for the life
//     it had when it was got (a clock that was set back), whichever is first.
//     A token of unknown expiry is returned until it is refused.
//   - What worked keeps working: while the source fails, the old token is
//     returned until it ends.
//   - A failure is remembered and met again without asking: for 2 s if it is
//     transient, for as long as the source said up to a minute, else for a minute.
//     It is dropped by [Cache.Forget], and after 5 s if its [Error.Stale] says so.
//   - What a refresh in the background meets, only the log hears of.
//   - A source that panics has failed. A source that goes on after its context
//     has ended keeps its one goroutine and the audience's turn: acquisitions
//     fail by their time-out until it returns, and what it then returns is used.
//
// Errors are [*Error] or the caller's own context's, wrapped.
type Cache struct {
	o       Options
	src     Source
	watched Watched // src, if it is one
	clock   clock

	current  atomic.Pointer[entry] // replaced by who has the turn; others only note attempts
	failures memory
	flights  singleflight.Group
	turn     chan struct{} // held by the one call of the source, and at last by Close

	ctx     context.Context // of all flights
	cancel  context.CancelFunc
	closing sync.Once
	mu      sync.Mutex // guards closed, and running against a late Add
	closed  bool
	running sync.WaitGroup // flights, which end with ctx as calls of a source may not
}

// NewCache returns an empty Cache over src. It starts nothing until the first
// token is asked for; [Cache.Close] ends what it then started.
func NewCache(src Source, o Options) *Cache {
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	watched, _ := src.(Watched)
	return &Cache{
		o: o, src: src, watched: watched, clock: clock{wall: o.Now, born: time.Now()},
		turn: make(chan struct{}, 1), ctx: ctx, cancel: cancel,
	}
}

// Token returns the token. If there is a live one it does so at once, without
// a lock, and within the margin of its expiry has it refreshed in the
// background, at most once in 30 s. Otherwise it waits for an acquisition.
func (c *Cache) Token(ctx context.Context) (Token, error) {
	now := c.clock.now()
	e := c.current.Load()
	if !e.live(now) {
		return c.wait(ctx, plainQuery(e))
	}
	if c.watched != nil && c.watched.Changed() {
		return c.changed(ctx, e)
	}
	// Of all who see that a refresh is due, one swaps the entry, and starts it.
	if e.due(now, c.o.Margin) && c.current.CompareAndSwap(e, e.attempted(now)) {
		c.start(ctx, quietQuery(e))
	}
	return e.token, nil
}

// changed returns the token of a source that has changed since it gave e. If
// that cannot be had, as while a file is being replaced, e has not got worse.
func (c *Cache) changed(ctx context.Context, e *entry) (Token, error) {
	t, err := c.wait(ctx, plainQuery(e))
	if err != nil && ctx.Err() == nil {
		return e.token, nil
	}
	return t, err
}

// Replace returns a token other than rejected, which an upstream refused.
// Claims is the decoded claims challenge that came with the refusal, or "".
//
// Refusal is by value. If the Cache already has another live token, that one is
// returned and nothing is asked: a late refusal evicts nothing. Otherwise the
// source is asked once for all who bring the same token and claims. If it gives
// the same token they get an [*Error] that wraps [ErrSame], as does who brings
// both again within 30 s, unless the error is dropped before.
//
// Until another token is there, [Cache.Token] goes on returning the refused
// one. The refusal may be one upstream's mistake: other rules of the audience
// must neither lose a token that they are served with, nor wait for a source
// that may be slow or down.
func (c *Cache) Replace(ctx context.Context, rejected Token, claims string) (Token, error) {
	if e := c.current.Load(); e.live(c.clock.now()) && !e.has(rejected) {
		return e.token, nil
	}
	return c.wait(ctx, replaceQuery(rejected, claims))
}

// Forget drops all failures that are remembered, as is right when somebody has
// just signed in: the next who needs a token has the source asked. What was being
// asked at that moment is remembered for 5 s if it fails.
func (c *Cache) Forget() { c.failures.forget() }

// Close makes waiting and later acquisitions fail, and waits for what the
// Cache started. A source that goes on after its context has ended is given
// 5 s and then left behind, which is logged. Close may be called again.
func (c *Cache) Close() { c.closing.Do(c.close) }

func (c *Cache) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.running.Wait()
	grace := time.NewTimer(closeGrace)
	defer grace.Stop()
	select {
	case c.turn <- struct{}{}: // and never given back
	case <-grace.C:
		c.o.Log.Warn("the token source did not stop", "audience", c.o.Name)
	}
}

// enter counts one flight, unless the Cache is closed.
func (c *Cache) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.running.Add(1)
	return true
}

// wait returns the outcome of q's flight, which it starts or joins.
func (c *Cache) wait(ctx context.Context, q query) (Token, error) {
	if err := ctx.Err(); err != nil {
		return Token{}, fmt.Errorf("audience %s: waiting for a token: %w", c.o.Name, err)
	}
	if err := c.failures.recall(q.key, c.clock.now()); err != nil {
		return Token{}, err
	}
	select {
	case r := <-c.start(ctx, q):
		t, _ := r.Val.(Token)
		return t, r.Err
	case <-ctx.Done():
		return Token{}, fmt.Errorf("audience %s: waiting for a token: %w", c.o.Name, ctx.Err())
	}
}
