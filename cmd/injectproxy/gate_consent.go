package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/injectproxy/injectproxy/internal/exchange"
)

// consentAgain is when consent is looked at once more, if that could not be done
// when the gate began, and consentGiven how often it is while some is missing.
const (
	consentAgain = time.Minute
	consentGiven = time.Hour
)

// consents looks at what was consented to when a gate begins, and warns of what was
// not: calls would fail later, and look like the callers' fault. Nothing waits for
// it, and nothing depends on it.
type consents struct {
	log   *slog.Logger
	looks []consentLook

	mu       sync.Mutex
	problems map[consentKey]statusProblem // what was missing when that was looked at last
}

// consentKey tells looks apart.
type consentKey struct{ tenant, routes string }

// consentLook is one API in one tenant.
type consentLook struct {
	check   func(ctx context.Context, tenant string) (missing []string, err error)
	tenant  string
	routes  string // that need it
	consent string // URL where an administrator consents
}

// newConsents is about all APIs whose routes want to know, in each tenant.
func (w *gateway) newConsents() *consents {
	c := &consents{log: w.around.log}
	for _, x := range w.apis {
		if x.warn {
			c.looks = append(c.looks, w.consentLooks(x)...)
		}
	}
	return c
}

// consentLooks are all tenants of one API.
func (w *gateway) consentLooks(x *apiExchanger) (looks []consentLook) {
	var routes []string
	for _, i := range x.routes {
		routes = append(routes, w.cfg.Routes[i].Path)
	}
	for _, tenant := range w.cfg.Entra.Tenants {
		at := exchange.ConsentURL(cmp.Or(w.cfg.Entra.AuthorityHost, publicCloud), tenant, w.cfg.Entra.ClientID)
		looks = append(looks, consentLook{x.CheckConsent, tenant, strings.Join(routes, " "), at})
	}
	return looks
}

// run looks, once more for what could not be seen, and now and then for what is
// missing, until it is there.
func (c *consents) run(ctx context.Context) {
	missing, open := c.look(ctx, c.looks)
	if len(open) > 0 && passes(ctx, consentAgain) {
		more, still := c.look(ctx, open)
		missing = append(missing, more...)
		for _, l := range still {
			c.log.Info("whether there is consent is not known: it is not looked at again", "tenant", l.tenant, "routes", l.routes)
		}
	}
	for len(missing) > 0 && passes(ctx, consentGiven) {
		still, open := c.look(ctx, missing)
		missing = append(still, open...)
	}
}

// passes waits for d; false if ctx has ended before.
func passes(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// look tells what it sees, and returns what is missing, and what it cannot see at the
// moment.
func (c *consents) look(ctx context.Context, looks []consentLook) (missing, open []consentLook) {
	for _, l := range looks {
		lacks, err := l.check(ctx, l.tenant)
		refusal, _ := errors.AsType[*exchange.Refusal](err)
		switch {
		case ctx.Err() != nil:
			return nil, nil
		case refusal != nil && refusal.Reason == exchange.Unavailable:
			c.log.Info("whether there is consent cannot be seen at the moment", "tenant", l.tenant, "routes", l.routes, "error", err)
			open = append(open, l)
		case errors.Is(err, exchange.ErrMayNotLook):
			c.log.Warn("consent to the scopes that a route needs on behalf of users cannot be checked", "tenant", l.tenant, "routes", l.routes, "error", err,
				"hint", "grant that permission, or DelegatedPermissionGrant.Read.All with Application.Read.All; or set warn_consent = false")
		case err != nil:
			c.log.Warn("consent to the scopes that a route needs on behalf of users cannot be checked", "tenant", l.tenant, "routes", l.routes, "error", err)
		case len(lacks) > 0:
			missing = append(missing, l)
			c.warn(l, strings.Join(lacks, " "))
		case c.given(l):
			c.log.Info("the scopes that a route needs on behalf of users are consented to now", "tenant", l.tenant, "routes", l.routes)
		default:
			c.log.Debug("the scopes that a route needs on behalf of users are consented to", "tenant", l.tenant, "routes", l.routes)
		}
	}
	return missing, open
}

// warn is loud, once: nothing else that a gate says at its start is about calls that
// are going to fail.
func (c *consents) warn(l consentLook, missing string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := consentKey{l.tenant, l.routes}
	_, again := c.problems[key]
	if c.problems == nil {
		c.problems = map[consentKey]statusProblem{}
	}
	c.problems[key] = statusProblem{"warning", "consent",
		"nobody has consented to " + missing + " for all users of tenant " + l.tenant + ", on whose behalf it is called on " + l.routes, "an administrator consents at " + l.consent}
	if again {
		return
	}
	at, query, _ := strings.Cut(l.consent, "?") // which the log would mask in a URL
	c.log.Warn("NOBODY HAS CONSENTED for all users to scopes that a route needs on behalf of them: calls of those fail who have not done so themselves",
		"scopes", missing, "tenant", l.tenant, "routes", l.routes, "hint", "an administrator consents at "+at+" with the query "+query)
}

// given notes that nothing is missing, and reports whether something was before.
func (c *consents) given(l consentLook) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, was := c.problems[consentKey{l.tenant, l.routes}]
	delete(c.problems, consentKey{l.tenant, l.routes})
	return was
}

// told returns what is missing.
func (c *consents) told() []statusProblem {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.SortedFunc(maps.Values(c.problems), func(a, b statusProblem) int { return strings.Compare(a.Text, b.Text) })
}
