package main

import (
	"time"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/telemetry"
	"github.com/injectproxy/injectproxy/internal/token"
)

// newObserver returns the observer of in, whose state its metrics look up when
// they are asked for.
func newObserver(in *instance) *observer {
	s := in.around
	var retries []string
	for name := range in.stats.All() {
		retries = append(retries, name)
	}
	return &observer{
		log: s.log, history: telemetry.NewHistory(nil), traces: s.traces, audit: s.audit,
		metrics: telemetry.NewMetrics(telemetry.MetricsOptions{
			Version: bareVersion(), Retries: retries, Losses: sessionLosses, Reasons: sessionReasons,
			Tokens: in.tokenStates, Sessions: in.sessionState, InUse: in.inUse, CAExpiry: in.caExpiry, AuditErrors: s.audit.Errors, AuditLost: s.audit.Lost,
		}),
	}
}

// What sessions tell in the details of their events. What they add is counted
// from its first time on; what is named here is there, at zero, before.
var (
	sessionLosses  = []string{"404", "400"}
	sessionReasons = []string{"no answer", "refused", "other version", "no token", "too late", "ended"}
)

// measure has the observer count by the rules and audiences of cfg, which has
// just taken over.
func (o *observer) measure(cfg *config.Config) {
	rules, off := make([]telemetry.Rule, len(cfg.Rules)), 0
	for i, r := range cfg.Rules {
		rules[i] = metricsRule(r)
		if r.Name == "" { // a refusal in place of a team's rules
			off++
		}
	}
	var audiences []telemetry.Audience
	sources := map[telemetry.Audience][]string{}
	for _, a := range cfg.Audiences {
		id := telemetry.Audience{Team: a.Team, Name: a.Name}
		audiences, sources[id] = append(audiences, id), sourceNames(a)
	}
	o.history.SetRules(rules)
	o.metrics.SetRules(rules)
	o.metrics.SetAudiences(audiences, func(a telemetry.Audience) []string { return sources[a] })
	o.metrics.SetTeamsOff(off)
}

// sourceNames are the names that tokens of a may have for their source.
func sourceNames(a *config.Audience) []string {
	switch {
	case a.TokenEnv != "":
		return []string{"token_env"}
	case a.TokenFile != "":
		return []string{"token_file"}
	case len(a.TokenCommand) > 0:
		return []string{"token_command"}
	}
	return sourcesOf(a)
}

func (in *instance) tokenStates() (states []telemetry.TokenState) {
	in.mu.Lock()
	g := in.current
	in.mu.Unlock()
	if g == nil {
		return nil
	}
	for _, a := range g.cfg.Audiences {
		s := g.supplies[a]
		if s == nil {
			continue
		}
		t, trouble := s.Held()
		state := telemetry.TokenState{Audience: telemetry.Audience{Team: a.Team, Name: a.Name}, Held: !t.IsZero(), Expiry: t.Expiry()}
		if trouble != nil {
			_, state.Trouble = came(token.Token{}, token.Token{}, trouble)
		}
		states = append(states, state)
	}
	return states
}

func (in *instance) sessionState() (s telemetry.SessionState) {
	for _, one := range in.book.Sessions() {
		s.Live++
		s.Streams += one.Streams
		if one.Recovering {
			s.Recovering++
		}
	}
	return s
}

// inUse is when the configuration took over.
func (in *instance) inUse() time.Time {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.current == nil {
		return time.Time{}
	}
	return in.current.since
}

func (in *instance) caExpiry() time.Time {
	a := in.authority.Load()
	if a == nil {
		return time.Time{}
	}
	return a.Root().NotAfter
}
