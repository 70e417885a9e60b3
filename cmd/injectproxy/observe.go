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
// of an instance: logs, counts, metrics, traces and the status page have it
// from here. Its methods are called concurrently and do not wait.
type observer struct {
	log      *slog.Logger
	counts   counts
	distrust distrust
	live     live
}

// began is told of each intercepted request once its rule is known.
func (o *observer) began(r *record.Record) { o.live.began(r) }

// answered is told when the header of its answer goes downstream.
func (o *observer) answered(r *record.Record) { o.live.answered(r) }

// done is told when it has ended.
func (o *observer) done(r *record.Record) {
	o.counts.note(r)
	o.distrust.forget(r.Authority)
	o.live.done(r)
	telemetry.RequestLine(o.log, r, time.Since(r.Start))
}

// tunnel is told of each tunnel, and what it returns of its end.
func (o *observer) tunnel(made bool) (ended func(up, down int64)) {
	if !made {
		return nil
	}
	ends := o.live.tunnel()
	return func(int64, int64) { ends() }
}

// acquisition is told of each token that is asked for, and what it returns of
// what came of it.
func (o *observer) acquisition(a *config.Audience) func(context.Context) (context.Context, func(token.Token, error)) {
	return func(ctx context.Context) (context.Context, func(token.Token, error)) {
		return ctx, func(t token.Token, err error) { o.live.acquired(a, t, err) }
	}
}

// attempt returns next, told of each time that a request is sent upstream.
func (o *observer) attempt(next http.RoundTripper) http.RoundTripper { return next }

// session is told what happens to the sessions of a rule.
func (o *observer) session(r config.Rule) func(context.Context, session.Event) {
	return func(_ context.Context, e session.Event) { o.live.session(r, e) }
}

// recovery is told of each recovery of a session of a rule, and what it returns
// of its end.
func (o *observer) recovery(r config.Rule) func(context.Context, string) (context.Context, func(error)) {
	return nil
}
