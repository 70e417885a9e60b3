package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/injectproxy/injectproxy/internal/exchange"
)

// consentAgain is when consent is looked at once more, if that could not be done
// when the gate began.
const consentAgain = time.Minute

// consents looks at what was consented to when a gate begins, and warns of what was
// not: calls would fail later, and look like the callers' fault. Nothing waits for
// it, and nothing depends on it.
type consents struct {
	log   *slog.Logger
	looks []consentLook

	mu       sync.Mutex
	problems []statusProblem
}

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
		at := cmp.Or(w.cfg.Entra.AuthorityHost, publicCloud) + "/" + tenant + "/adminconsent?client_id=" + url.QueryEscape(w.cfg.Entra.ClientID)
		looks = append(looks, consentLook{x.CheckConsent, tenant, strings.Join(routes, " "), at})
	}
	return looks
}

// run looks, and once more for what could not be seen.
func (c *consents) run(ctx context.Context) {
	open := c.look(ctx, c.looks)
	if len(open) == 0 {
		return
	}
	again := time.NewTimer(consentAgain)
	defer again.Stop()
	select {
	case <-again.C:
	case <-ctx.Done():
		return
	}
	for _, l := range c.look(ctx, open) {
		c.log.Info("whether there is consent is not known: it is not looked at again", "tenant", l.tenant, "routes", l.routes)
	}
}

// look tells what it sees, and returns what it cannot see at the moment.
func (c *consents) look(ctx context.Context, looks []consentLook) (open []consentLook) {
	for _, l := range looks {
		missing, err := l.check(ctx, l.tenant)
		refusal, _ := errors.AsType[*exchange.Refusal](err)
		switch {
		case ctx.Err() != nil:
			return nil
		case refusal != nil && refusal.Reason == exchange.Unavailable:
			c.log.Info("whether there is consent cannot be seen at the moment", "tenant", l.tenant, "routes", l.routes, "error", err)
			open = append(open, l)
		case errors.Is(err, exchange.ErrMayNotLook):
			c.log.Warn("consent to the scopes that a route needs on behalf of users cannot be checked", "tenant", l.tenant, "routes", l.routes, "error", err,
				"hint", "grant that permission, or DelegatedPermissionGrant.Read.All with Application.Read.All; or set warn_consent = false")
		case err != nil:
			c.log.Warn("consent to the scopes that a route needs on behalf of users cannot be checked", "tenant", l.tenant, "routes", l.routes, "error", err)
		case len(missing) > 0:
			c.warn(l, strings.Join(missing, " "))
		default:
			c.log.Debug("the scopes that a route needs on behalf of users are consented to", "tenant", l.tenant, "routes", l.routes)
		}
	}
	return open
}

// warn is loud: nothing else that a gate says at its start is about calls that are
// going to fail.
func (c *consents) warn(l consentLook, missing string) {
	at, query, _ := strings.Cut(l.consent, "?") // which the log would mask in a URL
	c.log.Warn("NOBODY HAS CONSENTED for all users to scopes that a route needs on behalf of them: calls of those fail who have not done so themselves",
		"scopes", missing, "tenant", l.tenant, "routes", l.routes, "hint", "an administrator consents at "+at+" with the query "+query)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.problems = append(c.problems, statusProblem{"warning", "consent",
		"when the gate began nobody had consented to " + missing + " for all users of tenant " + l.tenant + ", on whose behalf it is called on " + l.routes, "an administrator consents at " + l.consent})
}

// told returns what was found.
func (c *consents) told() []statusProblem {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]statusProblem{}, c.problems...)
}
