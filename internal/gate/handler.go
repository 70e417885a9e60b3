package gate

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/injectproxy/injectproxy/internal/binding"
)

// Gate is the handler of a gate, and its server. Make one with New. It may be
// used concurrently.
type Gate struct {
	o        Options
	routes   []*route // the longest path first
	served   map[string]bool
	sessions binding.Table

	identities map[string]bool // names of headers by which upstreams are told of callers, in lower case

	server   server
	work     registry
	retired  atomic.Bool   // it wants no more clients
	draining chan struct{} // closed when Shutdown begins
	bodies   *budget       // what bodies may hold
	relays   chan struct{} // has an element for each request that waits for Entra's token endpoint
}

// New returns a Gate.
func New(o Options) (*Gate, error) {
	switch {
	case o.PublicURL == nil || len(o.Routes) == 0 || o.Verify == nil || o.Log == nil:
		return nil, errors.New("gate: options are missing")
	case o.BodyLimit == 0:
		o.BodyLimit = 8 << 20
	}
	if o.Sessions == nil {
		o.Sessions = binding.NewMemory()
	}
	g := &Gate{o: o, sessions: o.Sessions, draining: make(chan struct{}), relays: make(chan struct{}, maxRelays), bodies: newBudget(o.BodyLimit)}
	g.served = servedAuthorities(o.PublicURL, o.Hosts)
	var err error
	if g.identities, err = identityNames(o.Routes); err != nil {
		return nil, err
	}
	for _, r := range o.Routes {
		g.routes = append(g.routes, &route{Route: r, upstreams: g.upstreams(r)})
	}
	sortRoutes(g.routes)
	return g, g.serverOf(o)
}

// ServeHTTP implements http.Handler. It panics with [http.ErrAbortHandler] where
// an answer that has begun cannot be finished.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !g.work.enter() {
		panic(http.ErrAbortHandler)
	}
	defer g.work.leave()
	speaks(r)
	own := *r // stages change it
	x := &exchange{r: &own, seen: &Request{Start: time.Now(), Method: r.Method, Path: r.URL.Path, Remote: peer(r)}}
	out := &response{ResponseWriter: w, x: x, told: g.o.Answered, last: &g.retired}
	x.w = out
	x.body = newBody(out, &own)
	defer g.finish(x, out)
	if !g.health(x) && g.hosted(x) && !g.public(x) {
		g.enter(x)
	}
}

// begin tells of a request whose route is known, or that is refused without one.
func (g *Gate) begin(x *exchange) {
	x.begun = true
	if g.o.Began != nil {
		g.o.Began(x.seen, x.r.Header)
	}
}

// finish ends the exchange, also one that panics.
func (g *Gate) finish(x *exchange, out *response) {
	failure := recover()
	if failure != nil && failure != http.ErrAbortHandler {
		failure = g.panicked(x, out, failure)
	}
	x.body.settle()
	g.letGo(x)
	if !x.begun && x.seen.Denied != "" { // no route takes it
		g.begin(x)
	}
	if x.begun && g.o.Done != nil {
		x.seen.Duration = time.Since(x.seen.Start)
		g.o.Done(x.seen)
	}
	if failure != nil {
		panic(failure)
	}
}

// panicked says that a stage failed, and returns what is left to panic with. Of
// values that are not the runtime's only the type is logged: they may quote what
// was read.
func (g *Gate) panicked(x *exchange, out *response, failure any) any {
	what := fmt.Sprintf("%T", failure)
	if e, ok := failure.(runtime.Error); ok {
		what = e.Error()
	}
	g.o.Log.Error("a request failed by a mistake in the gate", "route", x.seen.Route, "method", x.r.Method, "panic", what, "stack", string(debug.Stack()))
	if out.begun {
		return http.ErrAbortHandler
	}
	clear(out.Header())
	x.message = nil // it may be what failed
	x.refuse(answer{status: http.StatusInternalServerError, kind: "internal", title: "The gate failed", hint: "Its log says where; please report it"})
	return nil
}
