package main

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/inject"
	"github.com/injectproxy/injectproxy/internal/proxy"
	"github.com/injectproxy/injectproxy/internal/record"
	"github.com/injectproxy/injectproxy/internal/replay"
	"github.com/injectproxy/injectproxy/internal/retry"
	"github.com/injectproxy/injectproxy/internal/session"
)

// generation is what a change of the configuration replaces: routes, and the
// tokens that they use. It lasts until its last request has ended.
type generation struct {
	cfg      *config.Config
	since    time.Time // when it took over
	supplies map[*config.Audience]*supply
	budget   *replay.Budget
	rules    *proxy.Rules
	over     chan struct{} // closed when another has taken over
}

// takeOver makes cfg decide about new requests; those in flight finish under
// the configuration that they began with. What needs a restart has to be in cfg
// as it was at the start. After an error nothing has changed.
func (in *instance) takeOver(cfg *config.Config) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	g := &generation{cfg: cfg, since: time.Now(), supplies: map[*config.Audience]*supply{}, over: make(chan struct{})}
	former := in.current
	if former != nil && former.cfg.Retry.Memory == cfg.Retry.Memory {
		g.budget = former.budget // which those in flight use up too
	} else {
		g.budget = replay.NewBudget(cfg.Retry.Memory)
	}
	err := in.supply(g)
	if err == nil {
		g.rules, err = in.rules(g)
	}
	if err != nil {
		in.discard(g)
		return err
	}
	in.current = g
	in.generations[g] = true
	in.watch.measure(cfg) // before a request comes under its rules
	var over <-chan struct{}
	if in.Proxy != nil {
		over = in.SetRules(g.rules)
	}
	for s := range g.distinct() {
		s.users++
		s.Forget() // what failed may have been mended by the change
	}
	if former == nil {
		return nil
	}
	close(former.over)
	in.ending.Go(func() {
		select {
		case <-over:
		case <-in.closing:
		}
		in.release(former)
	})
	return nil
}

// discard ends what was made for g, which does not take over.
func (in *instance) discard(g *generation) {
	for s := range g.distinct() {
		if s.users == 0 {
			s.close() // at once: its source has not been asked
		}
	}
}

// config is the configuration in use.
func (in *instance) config() *config.Config {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.current.cfg
}

// signedIn has every audience ask its source again: one sign-in is often good
// for several.
func (in *instance) signedIn() {
	in.mu.Lock()
	defer in.mu.Unlock()
	for g := range in.generations {
		for s := range g.distinct() {
			s.Forget()
		}
	}
}

// rules builds the route of each rule, for the table that explain reads too.
func (in *instance) rules(g *generation) (*proxy.Rules, error) {
	table, index, err := g.cfg.Table()
	if err != nil {
		return nil, err
	}
	rules := &proxy.Rules{Table: table, Refused: map[string]*proxy.Answer{}}
	routes := make([]proxy.Route, len(g.cfg.Rules))
	for i, r := range g.cfg.Rules {
		routes[i] = proxy.Route{RoundTripper: refuse{ruleOff(r)}, Name: r.Name, Team: r.Team, Kind: r.Kind}
		if r.Off == "" {
			routes[i].RoundTripper = in.route(g, r)
		}
		for _, p := range r.Prefixes {
			if a := in.unsignable(r, p.Authority()); a != nil && rules.Refused[p.Authority()] == nil {
				in.around.log.Error("a rule is off", "rule", r.Name, "team", r.Team, "authority", p.Authority(), "problem", a.Detail, "hint", a.Hint)
				rules.Refused[p.Authority()] = a
			}
		}
	}
	for _, i := range index {
		rules.Routes = append(rules.Routes, routes[i])
	}
	rules.Clients = confined(g.cfg, index)
	return rules, nil
}

// unsignable is the answer for an authority that the door cannot speak for. Who
// comes from within needs no door.
func (in *instance) unsignable(r config.Rule, authority string) *proxy.Answer {
	if in.Proxy == nil {
		return nil
	}
	return unsignable(in.authority.Load(), r, authority)
}

// confined returns what the named clients may use, for a table whose rules
// have the given indices in cfg.
func confined(cfg *config.Config, index []int) map[string]proxy.Client {
	clients := map[string]proxy.Client{}
	for _, c := range cfg.Access.Clients {
		own := proxy.Client{Rules: make([]bool, len(index)), Authorities: map[string]bool{}}
		for n, i := range index {
			r := cfg.Rules[i]
			if !c.May(r) {
				continue
			}
			own.Rules[n] = true
			for _, p := range r.Prefixes {
				own.Authorities[p.Authority()] = true
			}
		}
		clients[c.Name] = own
	}
	return clients
}

// route is the chain of one live rule, outermost first: what was learned is
// recorded, what an agent's user can mend is explained, a lost session is
// replaced, errors become answers, a refused token is replaced, the token is
// attached, the upstream is asked.
func (in *instance) route(g *generation, r config.Rule) http.RoundTripper {
	tokens := g.supplies[r.Audience].Cache
	var route http.RoundTripper = answering{retry.New(
		inject.New(in.watch.attempt(proxy.WithTimeout(in.upstream, r.Timeout)), inject.Options{
			Prefixes: r.Prefixes, Tokens: tokens,
			Header: r.Header, Scheme: r.Scheme, Keep: r.Existing == "keep",
			Strip: r.Strip, Headers: headers(r.Headers),
		}),
		retry.Options{
			Tokens: tokens, BodyLimit: g.cfg.Retry.BodyLimit, Memory: g.budget, Stats: in.stats, Now: in.around.now,
			Log: in.around.log.With("rule", r.Name, "team", r.Team, "audience", r.Audience.Name),
		},
	)}
	if r.Kind == "mcp" {
		mcp := explaining{
			next: route, rule: r.Name, audience: r.Audience.Name,
			refusals: r.Unauthorized == "explain", held: newMemory(mostGlimpses),
		}
		mcp.next = in.keepingSessions(g, r, beside{mcp})
		route = mcp
	}
	return observed{route}
}

// keepingSessions returns next with the recovery of lost sessions over it.
func (in *instance) keepingSessions(g *generation, r config.Rule, next http.RoundTripper) http.RoundTripper {
	return session.New(next, session.Options{
		Mode: sessionModes[r.Recover], Book: in.book, Over: g.over,
		Owner: func(ctx context.Context) string { return record.FromContext(ctx).Client },
		May:   func(method string) bool { return len(r.Methods) == 0 || slices.Contains(r.Methods, method) },
		Light: g.cfg.Session.Light, Ping: g.cfg.Session.Ping, Hard: g.cfg.Session.Hard, Cooldown: g.cfg.Session.Cooldown,
		BodyLimit: g.cfg.Retry.BodyLimit, Memory: g.budget, Explains: wantsToken, Late: answeredLate,
		Exact: in.Proxy == nil, // the bridge waits for the rest of an answer
		Apart: apart, Note: in.watch.session(r), Around: in.watch.recovery(r),
		Log: in.around.log.With("rule", r.Name, "team", r.Team),
	})
}

// answeredLate reports whether err is the time-out of a rule, which begins when
// the request is sent.
func answeredLate(err error) bool {
	a, ok := errors.AsType[*proxy.Answer](err)
	return ok && a.Type == "upstream-timeout"
}

var sessionModes = map[string]session.Mode{"heal": session.Heal, "normalise": session.Normalise, "off": session.Off}

// close ends all generations. The proxy is shut down before. It may be called
// again.
func (in *instance) close() { in.closed.Do(in.end) }

func (in *instance) end() {
	in.sources.signIns.Close() // who waits for a sign-in goes first
	close(in.closing)
	in.book.Close()
	in.ending.Wait()
	if in.current != nil { // else it never served
		in.release(in.current)
	}
	in.sources.close()
	in.upstream.CloseIdleConnections()
}

var errNoCA = errors.New("there is no CA")
