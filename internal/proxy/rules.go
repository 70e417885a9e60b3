package proxy

import (
	"sync/atomic"

	"github.com/injectproxy/injectproxy/internal/match"
)

// Rules decide what happens to a request. They are immutable: a change of
// configuration is a new Rules value for [Proxy.SetRules].
type Rules struct {
	Table  *match.Table
	Routes []Route // by the table's rule number

	// Refused are authorities that are answered at once, in place of being
	// intercepted: those of rules that the CA may not sign for.
	Refused map[string]*Answer

	// Clients say what each named client may use. One that is not here may use
	// no rule.
	Clients map[string]Client
}

// Client is what a named client of a shared instance may use.
type Client struct {
	Rules       []bool          // by the table's rule number
	Authorities map[string]bool // of those rules
}

// may reports whether the client of that name, "" for whoever has none, may use
// a rule.
func (r *Rules) may(client string, rule int) bool {
	if client == "" {
		return true
	}
	own := r.Clients[client].Rules
	return rule < len(own) && own[rule]
}

// names reports whether a rule that client may use names authority.
func (r *Rules) names(authority, client string) bool {
	return r.Table.Intercepts(authority) && (client == "" || r.Clients[client].Authorities[authority])
}

// reign is the time for which rules decide, and their requests last.
type reign struct {
	*Rules
	users atomic.Int64  // intercepted requests, and one while the rules decide
	over  chan struct{} // closed when there are none
}

// enter counts a request. It reports false once the reign is over.
func (r *reign) enter() bool {
	for {
		n := r.users.Load()
		if n == 0 {
			return false
		}
		if r.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (r *reign) leave() {
	if r.users.Add(-1) == 0 {
		close(r.over)
	}
}

// SetRules makes r decide about new requests, also those of connections that
// are open. Requests in flight finish under the rules they began with, and
// tunnels stay as they are. The channel is closed when the last request under
// the former rules has ended, streams included.
func (p *Proxy) SetRules(r *Rules) (formerOver <-chan struct{}) {
	next := &reign{Rules: r, over: make(chan struct{})}
	next.users.Store(1)
	former := p.rules.Swap(next)
	if former == nil {
		return nil
	}
	former.leave()
	return former.over
}

// reigning returns the rules that decide, for one request that leaves them
// when it has ended.
func (p *Proxy) reigning() *reign {
	for {
		// Rules that are over have been followed by others.
		if r := p.rules.Load(); r.enter() {
			return r
		}
	}
}
