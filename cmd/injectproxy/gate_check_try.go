package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"strings"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/exchange"
)

// tryGate asks whom the gate will ask when it serves: Entra, for the keys of each
// tenant, and by each credential of [route.on_behalf_of] and in each tenant, what was
// consented to; and Redis, whether sessions can begin there. No user's token is
// exchanged for that.
func tryGate(ctx context.Context, cfg *config.Gate) (problems []config.Problem, err error) {
	w, err := buildGate(cfg, surroundings{log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	defer w.close()
	w.keys.Load(ctx)
	for _, p := range keyProblems(w.keyStatus()) {
		problems = append(problems, config.Problem{Position: config.Position{File: cfg.File}, Message: p.Text, Hint: p.Hint})
	}
	for _, x := range w.apis {
		for _, l := range w.consentLooks(x) {
			missing, err := l.check(ctx, l.tenant)
			if p := l.problem(missing, err); p != nil {
				p.Position = x.of.Pos
				problems = append(problems, *p)
			}
		}
	}
	if w.store != nil {
		if err := w.store.Ping(ctx); err != nil {
			problems = append(problems, config.Problem{
				Position: cfg.Redis.Pos, Message: "[redis]: " + err.Error(),
				Hint: "url and password_file in [redis], and what its message names; the gate starts all the same, and refuses requests of a session until then",
			})
		}
	}
	return problems, ctx.Err()
}

// problem is what came of a look; nil if all is well.
func (l consentLook) problem(missing []string, err error) *config.Problem {
	in := " in tenant " + l.tenant
	refusal, refused := errors.AsType[*exchange.Refusal](err)
	switch {
	case refused && refusal.Reason == exchange.Unavailable:
		return &config.Problem{
			Message: "Entra cannot be asked" + in + ": " + cmp.Or(refusal.Detail, "it does not answer"),
			Hint:    "the way from here to the authority: upstream_proxy and upstream_ca, authority_host in [entra]",
		}
	case refused:
		return &config.Problem{
			Message: "Entra refuses the gate" + in + ": " + cmp.Or(refusal.Detail, string(refusal.Reason)),
			Hint:    "the registration of client_id, and the credential in [route.on_behalf_of], which has to be its own",
		}
	case err != nil: // it took the credential
		return &config.Problem{
			Warning: true, Message: "what was consented to" + in + " cannot be seen: " + err.Error(),
			Hint: "without that permission the gate cannot warn at its start, and works all the same",
		}
	case len(missing) > 0:
		return &config.Problem{
			Warning: true, Message: "nobody has consented to " + strings.Join(missing, " ") + " for all users" + in,
			Hint: "an administrator consents at " + l.consent,
		}
	}
	return nil
}
