package main

import (
	"log/slog"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/injectproxy/injectproxy/internal/gate"
	"github.com/injectproxy/injectproxy/internal/telemetry"
	"github.com/injectproxy/injectproxy/internal/verify"
)

// mostName is how many bytes are told of what a client calls something.
const mostName = 200

// gateObserver is the observer of a gate. Its methods are called concurrently,
// and none waits for a disk or a collector.
type gateObserver struct {
	log     *slog.Logger
	metrics *telemetry.GateMetrics
	history *telemetry.History
	traces  *telemetry.Traces // nil: none
	audit   *telemetry.Audit  // nil: none
	live    liveRequests
	counts  counts
	denials denials

	exchanges exchanges
}

func newGateObserver(w *gateway) *gateObserver {
	o := telemetry.GateMetricsOptions{
		Version: bareVersion(), Denials: gate.Denials(), Invalid: verify.Reasons(), Ready: w.ready, Keys: w.keyStates,
		Sessions: func() int { return w.Sessions() }, Certificate: func() time.Time { return w.CertificateExpiry() },
		AuditErrors: w.around.audit.Errors, AuditLost: w.around.audit.Lost,
	}
	if w.cfg.Redis.URL != "" {
		o.Store = w.storeState
	}
	o.Exchanges = exchangeResults()
	for _, r := range w.cfg.Routes {
		o.Routes = append(o.Routes, r.Path)
		if r.OnBehalfOf != nil {
			o.Exchanging = append(o.Exchanging, r.Path)
		}
	}
	watch := &gateObserver{
		log: w.around.log, metrics: telemetry.NewGateMetrics(o), history: telemetry.NewHistory(w.around.now),
		traces: w.around.traces, audit: w.around.audit,
	}
	watch.history.SetRoutes(o.Routes)
	return watch
}

// began is told of each request once its route is known, or that it has none.
func (o *gateObserver) began(r *gate.Request, h http.Header) {
	q := &telemetry.GateRequest{Start: r.Start, Route: r.Route, Method: shortened(r.Method, 20), Path: shortened(r.Path, mostPath), Remote: r.Remote}
	r.Noted = q
	if q.Route == "" {
		q.Route = telemetry.NoRoute
		o.metrics.Began(q)
		return
	}
	o.metrics.Began(q)
	o.traces.GateBegan(q, h)
	o.live.begin(q, &liveRequest{Start: q.Start, Rule: q.Route, Method: q.Method, Path: q.Path})
}

// answered is told when the header of its answer goes downstream.
func (o *gateObserver) answered(r *gate.Request) {
	q := noted(r)
	o.metrics.Answered(q)
	o.history.GateAnswered(q)
	o.live.change(q, func(l *liveRequest) { l.learnGate(q) })
}

// done is told when it has ended.
func (o *gateObserver) done(r *gate.Request) {
	q := noted(r)
	if q.Route == telemetry.NoRoute {
		o.stray(q, r.Duration)
		return
	}
	o.counts.add(ruleID{"", q.Route}, q.Start, q.Status)
	o.denials.note(q)
	o.exchanges.note(q)
	o.metrics.Done(q, r.Duration)
	o.history.GateDone(q)
	o.live.end(q, r.Duration, func(l *liveRequest) { l.learnGate(q) })
	o.traces.GateDone(q)
	o.audit.Gate(q, r.Duration)
	telemetry.GateLine(o.log, q, r.Duration) // at last: who waits for it finds the rest
}

// stray is done of a request that no route takes. Anybody can send any number of
// them: they are counted, and get no line but at level debug.
func (o *gateObserver) stray(q *telemetry.GateRequest, d time.Duration) {
	o.denials.note(q)
	o.metrics.Done(q, d)
	telemetry.GateLine(o.log, q, d)
}

// noted is what began left, with what has become known since.
func noted(r *gate.Request) *telemetry.GateRequest {
	q := r.Noted.(*telemetry.GateRequest)
	q.Answered, q.Status, q.Bytes, q.Stream = r.Answered, r.Status, r.Bytes, r.Stream
	q.Message, q.Name = shortened(r.Message, mostName), shortened(r.Name, mostName)
	q.Allowed, q.Reason, q.Invalid, q.Problem = r.Allowed, r.Denied, r.Invalid, r.Problem
	q.Exchange, q.Upstream, q.Attempts, q.Lost, q.Late = r.Exchange, r.Upstream, r.Attempts, r.Lost, r.Late
	if c := r.Caller; c != nil {
		q.Tenant, q.Object, q.Client, q.Fingerprint = c.Tenant, c.Object, c.Client, c.Fingerprint
	}
	return q
}

// learnGate takes over what has become known since the request began.
func (l *liveRequest) learnGate(q *telemetry.GateRequest) {
	l.Status, l.Stream, l.Bytes, l.Attempts, l.Problem = q.Status, q.Stream, q.Bytes, q.Attempts, q.Problem
	l.Authority, l.Client, l.Token = q.Upstream, q.Client, q.Fingerprint
	l.Message, l.Name, l.Decision, l.Reason, l.Caller, l.Tenant = q.Message, q.Name, q.Decision(), q.Reason, q.Object, q.Tenant
	l.Exchange = q.Exchange
	if q.Lost {
		l.Session = "lost"
	}
	if !q.Answered.IsZero() {
		l.Wait = milliseconds(q.Answered.Sub(q.Start))
	}
}

// denials counts requests that were not passed on, by the reason. The zero
// denials are ready.
type denials struct {
	mu      sync.Mutex
	reasons map[string]denialTally
}

// denialTally is how often something was denied for one reason.
type denialTally struct {
	Count int64     `json:"count"`
	Last  time.Time `json:"last"`
	Route string    `json:"route"`          // of the last
	Name  string    `json:"name,omitempty"` // likewise
}

func (d *denials) note(q *telemetry.GateRequest) {
	if q.Reason == "" {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.reasons == nil {
		d.reasons = map[string]denialTally{}
	}
	d.reasons[q.Reason] = denialTally{d.reasons[q.Reason].Count + 1, q.Start, q.Route, q.Name}
}

func (d *denials) all() map[string]denialTally {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := map[string]denialTally{}
	maps.Copy(all, d.reasons)
	return all
}
