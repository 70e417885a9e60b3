package main

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/record"
	"github.com/injectproxy/injectproxy/internal/session"
	"github.com/injectproxy/injectproxy/internal/telemetry"
	"github.com/injectproxy/injectproxy/internal/token"
)

// observer is where everything comes together that somebody may want to know
// of an instance: logs, counts, metrics, traces, the audit file and the status
// page have it from here. Its methods are called concurrently, and none waits for
// a disk or a collector.
type observer struct {
	log      *slog.Logger
	counts   counts
	distrust distrust
	live     live
	metrics  *telemetry.Metrics
	history  *telemetry.History
	traces   *telemetry.Traces // nil: none
	audit    *telemetry.Audit  // nil: none
}

// began is told of each intercepted request once its rule is known.
func (o *observer) began(r *record.Record, h http.Header) {
	if r.Kind == "mcp" {
		r.Remark = new(record.Remark)
	}
	o.metrics.Began(r)
	o.traces.Began(r, h)
	o.live.began(r)
}

// answered is told when the header of its answer goes downstream.
func (o *observer) answered(r *record.Record) {
	r.Session = r.Remark.String()
	o.metrics.Answered(r)
	o.history.Answered(r)
	o.live.answered(r)
}

// done is told when it has ended.
func (o *observer) done(r *record.Record) {
	d := time.Since(r.Start)
	r.Session = r.Remark.String()
	o.counts.note(r)
	o.distrust.forget(r.Authority)
	o.metrics.Done(r, d.Seconds())
	o.history.Done(r)
	o.live.done(r)
	o.traces.Done(r)
	o.audit.Request(r, d)
	telemetry.RequestLine(o.log, r, d) // at last: who waits for it finds the rest
}

// tunnel is told of each tunnel, and what it returns of its end.
func (o *observer) tunnel(made bool) (ended func(up, down int64)) {
	counted := o.metrics.Tunnel(made)
	if !made {
		return nil
	}
	shown := o.live.tunnel()
	return func(up, down int64) {
		counted(up, down)
		shown()
	}
}

// acquisition is told of each token of an audience that is asked for, and what
// it returns of what came of it. It is one cache's, whose acquisitions follow one
// another.
func (o *observer) acquisition(a *config.Audience) func(ctx, asker context.Context, ask token.Ask) (context.Context, func(token.Token, error)) {
	name := telemetry.Audience{Team: a.Team, Name: a.Name}
	var last token.Token
	return func(ctx, asker context.Context, ask token.Ask) (context.Context, func(token.Token, error)) {
		began := time.Now()
		ctx, traced := o.traces.Acquisition(ctx, asker, !ask.Quiet, name)
		return ctx, func(t token.Token, err error) {
			source, result := came(last, t, err)
			if err == nil {
				last = t
			}
			o.metrics.Acquired(name, source, result, time.Since(began))
			traced(source, result, err)
			o.live.acquired(a, t, err)
		}
	}
}

// attempt returns next, told of each time that a request is sent upstream.
func (o *observer) attempt(next http.RoundTripper) http.RoundTripper { return o.traces.Attempt(next) }

// session is told what happens to the sessions of a rule.
func (o *observer) session(r config.Rule) func(context.Context, session.Event) {
	log := o.log.With("rule", r.Name, "team", r.Team)
	return func(ctx context.Context, e session.Event) {
		remark(record.FromContext(ctx).Remark, e)
		o.metrics.Session(metricsRule(r), e.Kind.String(), e.Detail, e.Took)
		logSession(ctx, log, e)
		o.live.session(r, e)
	}
}

// recovery is told of each recovery of a session of a rule, and what it returns
// of its end.
func (o *observer) recovery(r config.Rule) func(context.Context, string) (context.Context, func(error)) {
	return func(ctx context.Context, target string) (context.Context, func(error)) {
		return o.traces.Recovery(ctx, metricsRule(r), target)
	}
}

func metricsRule(r config.Rule) telemetry.Rule {
	return telemetry.Rule{Team: r.Team, Name: r.Name, Kind: r.Kind}
}
