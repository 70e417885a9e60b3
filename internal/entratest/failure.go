package entratest

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Failure is what goes wrong with a request. The upper fields say with which
// ones, zero meaning any; an Endpoint left empty means those that yield
// tokens, TokenEndpoint and IdentityEndpoint. The lower fields say how: with
// none of Code, Status and Body set, the request is answered as usual, after
// Delay or once a Hang is released.
type Failure struct {
	Endpoint Endpoint
	Tenant   string
	Client   string
	Scope    string // as in Request
	User     string // as in Request

	Code        int           // AADSTS code; it gives the fields below it their defaults
	Status      int           // HTTP status
	Error       string        // OAuth error, such as invalid_grant
	Description string        // text after "AADSTS<code>: "; {client}, {tenant}, {scope}, {resource} are filled in
	SubError    string        // such as basic_action
	Claims      string        // claims challenge, a JSON object
	RetryAfter  time.Duration // in whole seconds
	Body        string        // sent as it is instead of the JSON error

	Delay time.Duration // before anything else
	Hang  bool          // do not answer until released
	Reset bool          // cut the connection (HTTP/1.1) or the stream (HTTP/2) without an answer
}

// Fail makes every request that f names go wrong, until the function returned
// or [Authority.Clear] is called. That also releases the requests f has made
// hang. Of several failures for one request, those of FailNext come first, in
// order; then the one added last.
func (a *Authority) Fail(f Failure) (release func()) { return a.faults.add(f, forever) }

// FailNext is Fail for the next n requests only.
func (a *Authority) FailNext(n int, f Failure) (release func()) { return a.faults.add(f, n) }

// Clear ends all failures and releases whatever hangs.
func (a *Authority) Clear() { a.faults.clear() }

const forever = -1

// fault is a Failure in effect.
type fault struct {
	Failure
	left     int // requests it is still for, or forever
	released chan struct{}
}

// faultList holds the failures in effect, in the order they were added.
type faultList struct {
	mu     sync.Mutex
	faults []*fault
}

func (l *faultList) add(f Failure, n int) (release func()) {
	added := &fault{Failure: f, left: n, released: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults = append(l.faults, added)
	return sync.OnceFunc(func() { l.release(added) })
}

// release ends one failure. It may have been ended by clear before.
func (l *faultList) release(f *fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.faults, f)
	if i < 0 {
		return
	}
	l.faults = slices.Delete(l.faults, i, i+1)
	close(f.released)
}

func (l *faultList) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.faults {
		close(f.released)
	}
	l.faults = nil
}

// take returns the failure that r meets, or nil. One that is used up stays in
// the list, so that the requests it made hang can still be released.
func (l *faultList) take(r Request) *fault {
	l.mu.Lock()
	defer l.mu.Unlock()
	var lasting *fault
	for _, f := range l.faults {
		switch {
		case f.left == 0 || !f.hits(r):
		case f.left > 0:
			f.left--
			return f
		default:
			lasting = f
		}
	}
	return lasting
}

// hits reports whether f is for r.
func (f *fault) hits(r Request) bool {
	if f.Endpoint == "" && r.Endpoint != TokenEndpoint && r.Endpoint != IdentityEndpoint {
		return false
	}
	return r.matches(Request{Endpoint: f.Endpoint, Tenant: f.Tenant, Client: f.Client, Scope: f.Scope, User: f.User})
}

// hold waits out the delay and the hang. It returns ctx's error if the client
// leaves or the authority closes meanwhile.
func (f *fault) hold(ctx context.Context) error {
	if f.Delay > 0 {
		t := time.NewTimer(f.Delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-f.released:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if f.Hang {
		select {
		case <-f.released:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// answers reports whether f replaces the usual answer.
func (f *fault) answers() bool { return f.Code != 0 || f.Status != 0 || f.Body != "" }
