package entratest

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// Endpoint says which of the authority's endpoints a request went to.
type Endpoint string

// The endpoints. IdentityEndpoint is both managed identity endpoints,
// ARMEndpoint what Azure Resource Manager answers, GraphEndpoint what Microsoft
// Graph does.
const (
	DiscoveryEndpoint  Endpoint = "openid-configuration"
	KeysEndpoint       Endpoint = "keys"
	TokenEndpoint      Endpoint = "token"
	DeviceCodeEndpoint Endpoint = "devicecode"
	AuthorizeEndpoint  Endpoint = "authorize"
	IdentityEndpoint   Endpoint = "managed-identity"
	ARMEndpoint        Endpoint = "azure-resource-manager"
	GraphEndpoint      Endpoint = "microsoft-graph"
)

// Request is a request the authority received. As an argument it is a
// pattern: fields that are zero match anything, Form always does.
type Request struct {
	Endpoint Endpoint
	Tenant   string
	Client   string     // client id, "" if the request names none
	Grant    string     // grant_type
	Scope    string     // without the OpenID scopes; of a managed identity the resource
	Claims   string     // claims parameter: capabilities and challenges
	Status   int        // HTTP status of the answer, 0 while there is none
	Code     int        // AADSTS code of the answer, 0 if there was none
	User     string     // object id that the assertion of an on-behalf-of request names, unverified
	Form     url.Values // body or query; credentials appear as "redacted"
}

// Requests returns every request so far, in the order of arrival.
func (a *Authority) Requests() []Request {
	a.requests.mu.Lock()
	defer a.requests.mu.Unlock()
	all := make([]Request, len(a.requests.seen))
	for i, r := range a.requests.seen {
		all[i] = *r
	}
	return all
}

// Count returns how many requests like pattern have arrived.
func (a *Authority) Count(pattern Request) int {
	a.requests.mu.Lock()
	defer a.requests.mu.Unlock()
	return a.requests.count(pattern)
}

// InFlight returns how many requests like pattern are not answered yet.
func (a *Authority) InFlight(pattern Request) int {
	a.requests.mu.Lock()
	defer a.requests.mu.Unlock()
	return a.requests.inFlight(pattern)
}

// WaitRequests returns once n requests like pattern have arrived, answered or
// not, or with ctx's error.
func (a *Authority) WaitRequests(ctx context.Context, n int, pattern Request) error {
	if err := a.requests.wait(ctx, func() bool { return a.requests.count(pattern) >= n }); err != nil {
		return fmt.Errorf("waiting for %d requests, %d have arrived: %w", n, a.Count(pattern), err)
	}
	return nil
}

// WaitIdle returns once no request like pattern is in flight, answered or
// given up by its client, or with ctx's error.
func (a *Authority) WaitIdle(ctx context.Context, pattern Request) error {
	if err := a.requests.wait(ctx, func() bool { return a.requests.inFlight(pattern) == 0 }); err != nil {
		return fmt.Errorf("waiting for requests to end, %d are in flight: %w", a.InFlight(pattern), err)
	}
	return nil
}

// matches reports whether r is like pattern.
func (r Request) matches(pattern Request) bool {
	like := func(have, want string) bool { return want == "" || have == want }
	return like(string(r.Endpoint), string(pattern.Endpoint)) &&
		(pattern.Tenant == "" || strings.EqualFold(r.Tenant, pattern.Tenant)) &&
		(pattern.Client == "" || strings.EqualFold(r.Client, pattern.Client)) &&
		(pattern.User == "" || strings.EqualFold(r.User, pattern.User)) &&
		like(r.Grant, pattern.Grant) && like(r.Scope, pattern.Scope) && like(r.Claims, pattern.Claims) &&
		(pattern.Status == 0 || r.Status == pattern.Status) &&
		(pattern.Code == 0 || r.Code == pattern.Code)
}

// requestLog is what has arrived. The zero requestLog is ready for use.
type requestLog struct {
	mu      sync.Mutex
	seen    []*Request
	active  []*Request
	closed  bool
	changed chan struct{} // closed at the next change; nil while nobody waits
}

// begin notes the arrival of r. It reports false once the log is closed.
func (l *requestLog) begin(r Request) (*Request, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, false
	}
	l.seen = append(l.seen, &r)
	l.active = append(l.active, &r)
	l.wake()
	return &r, true
}

// answer notes what r is about to be told, before the client can know it.
func (l *requestLog) answer(r *Request, status, code int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r.Status, r.Code = status, code
	l.wake()
}

// end notes that r is over.
func (l *requestLog) end(r *Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.active = slices.DeleteFunc(l.active, func(a *Request) bool { return a == r })
	l.wake()
}

// close refuses whatever arrives from here on.
func (l *requestLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}

// drain waits until nothing is in flight.
func (l *requestLog) drain() {
	_ = l.wait(context.Background(), func() bool { return len(l.active) == 0 }) // that context has no error
}

func (l *requestLog) count(pattern Request) (n int) {
	for _, r := range l.seen {
		if r.matches(pattern) {
			n++
		}
	}
	return n
}

func (l *requestLog) inFlight(pattern Request) (n int) {
	for _, r := range l.active {
		if r.matches(pattern) {
			n++
		}
	}
	return n
}

// wait returns once done, called under the lock, reports true.
func (l *requestLog) wait(ctx context.Context, done func() bool) error {
	for {
		l.mu.Lock()
		if done() {
			l.mu.Unlock()
			return nil
		}
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// wake wakes whoever waits. The lock is held.
func (l *requestLog) wake() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}
