package telemetry

import (
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// GateMetricsOptions say what a [GateMetrics] cannot count by itself. All but
// Routes may be missing. The functions are called by each scrape, concurrently.
type GateMetricsOptions struct {
	Version string
	Routes  []string // their paths
	Denials []string // why a request may not be passed on: the values of GateRequest.Reason
	Invalid []string // what may be wrong with a token: the values of GateRequest.Invalid

	Exchanging []string // those of Routes on which tokens are exchanged
	Exchanges  []string // what may come of it: the values of GateRequest.Exchange

	Ready       func() bool
	Sessions    func() int        // that are known; below 0: it is not known how many
	Store       func() StoreState // nil: the gate shares its sessions with nobody
	Keys        func() []KeyState
	Certificate func() time.Time // when the one that is served ends; zero: there is none
	AuditErrors func() int64     // writes and openings of the audit file that failed
	AuditLost   func() int64     // lines that are missing in it
}

// KeyState is what is known of the keys of a tenant.
type KeyState struct {
	Tenant  string
	Held    int       // keys
	Fetched time.Time // when they were last had from the authority; zero: never
}

// StoreState is the state of where gates share their sessions.
type StoreState struct {
	Up       bool  // it did not fail when it was last asked
	Failures int64 // how often it has failed
}

// GateMetrics are the numbers of one gate, for Prometheus. They are labelled by
// what the configuration names and by fixed sets of words, never by callers,
// tools, paths or what a client says: their number is bounded by the routes and
// tenants. All are there, at zero, from the beginning, but for the gate's own
// answers, whose titles nobody lists. It is safe for concurrent use.
type GateMetrics struct {
	registry *prometheus.Registry
	routes   map[string]*gateSeries // never changed
	entra    *exchangeSeries        // nil: no route exchanges tokens
}

// NewGateMetrics returns GateMetrics in a registry of their own, with those of
// the Go runtime and the process.
func NewGateMetrics(o GateMetricsOptions) *GateMetrics {
	m := &GateMetrics{registry: prometheus.NewRegistry(), routes: map[string]*gateSeries{}}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), gateAtScrape{&o})
	f := factory{m.registry}
	f.gauge("build_info", "1, with the version of injectproxy and of Go.", "version", "goversion").WithLabelValues(o.Version, runtime.Version()).Set(1)
	v := newGateVectors(f)
	for _, route := range append(o.Routes[:len(o.Routes):len(o.Routes)], NoRoute) {
		m.routes[route] = v.series(route, o.Denials, o.Invalid)
	}
	m.exchanging(f, &o)
	return m
}

// Handler answers scrapes.
func (m *GateMetrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 8})
}

// gateVectors are the metrics that have series of each route.
type gateVectors struct {
	requests, bytes, accepted, denials, invalid, answers *prometheus.CounterVec
	retries, late, lost                                  *prometheus.CounterVec
	inFlight, streams                                    *prometheus.GaugeVec
	duration, header                                     *prometheus.HistogramVec
}

func newGateVectors(f factory) *gateVectors {
	return &gateVectors{
		requests: f.counter("gate_requests_total", "Requests for a route that have ended, by the class of the status that went downstream; none if the client left before.", "route", "code"),
		bytes:    f.counter("gate_response_bytes_total", "Body bytes that went downstream, counted when the request ends.", "route"),
		accepted: f.counter("gate_accepted_total", "Requests that were let in and passed on.", "route"),
		denials:  f.counter("gate_denials_total", "Requests that were not passed on, by the reason.", "route", "reason"),
		invalid:  f.counter("gate_invalid_tokens_total", "Tokens that were refused, by what is wrong with them.", "route", "reason"),
		answers:  f.counter("gate_own_answers_total", "Requests that the gate answered itself, by the title of the problem.", "route", "problem"),
		retries:  f.counter("gate_retries_total", "Upstreams that were asked in place of one that could not be reached.", "route"),
		late:     f.counter("gate_timeouts_total", "Requests that were passed on, and not answered in time or before the client left.", "route"),
		lost:     f.counter("gate_sessions_lost_total", "Requests for a session that its upstream has given, and does not know any more.", "route"),
		inFlight: f.gauge("gate_requests_in_flight", "Requests for a route that have not ended, streams included.", "route"),
		streams:  f.gauge("gate_streams_open", "Event streams and upgraded connections that have not ended.", "route"),
		duration: f.histogram("gate_request_duration_seconds", "From a request's header to the end of its answer.", latencies, "route"),
		header:   f.histogram("gate_response_header_seconds", "From a request's header to the header of its answer, which is when a stream begins.", latencies, "route"),
	}
}

// gateSeries are the metrics of one route, looked up once: to count costs no
// allocation.
type gateSeries struct {
	codes                                [len(codeLabels)]prometheus.Counter
	bytes, accepted, retries, late, lost prometheus.Counter
	inFlight, streams                    prometheus.Gauge
	duration, header                     prometheus.Observer
	denials, invalid, answers            *words
	exchanges                            *words // nil: of a route that exchanges no tokens
}

func (v *gateVectors) series(route string, denials, invalid []string) *gateSeries {
	s := &gateSeries{
		bytes: v.bytes.WithLabelValues(route), accepted: v.accepted.WithLabelValues(route), retries: v.retries.WithLabelValues(route),
		late: v.late.WithLabelValues(route), lost: v.lost.WithLabelValues(route),
		inFlight: v.inFlight.WithLabelValues(route), streams: v.streams.WithLabelValues(route),
		duration: v.duration.WithLabelValues(route), header: v.header.WithLabelValues(route),
		denials: newWords(v.denials, denials, route), invalid: newWords(v.invalid, invalid, route), answers: newWords(v.answers, nil, route),
	}
	for i, code := range codeLabels {
		s.codes[i] = v.requests.WithLabelValues(route, code)
	}
	return s
}

// Began notes that a request has begun, unless there is no such route.
func (m *GateMetrics) Began(r *GateRequest) {
	if r.counted = m.routes[r.Route]; r.counted != nil {
		r.counted.inFlight.Inc()
	}
}

// Answered notes that the header of its answer goes downstream.
func (m *GateMetrics) Answered(r *GateRequest) {
	s := r.counted
	if s == nil {
		return
	}
	s.header.Observe(r.Answered.Sub(r.Start).Seconds())
	if r.Stream {
		s.streams.Inc()
	}
}

// Done notes that it has ended, after d.
func (m *GateMetrics) Done(r *GateRequest, d time.Duration) {
	s := r.counted
	if s == nil {
		return
	}
	s.inFlight.Dec()
	if r.Stream && !r.Answered.IsZero() {
		s.streams.Dec()
	}
	code := r.Status / 100
	if code < 0 || code >= len(codeLabels) {
		code = 0
	}
	s.codes[code].Inc()
	s.bytes.Add(float64(r.Bytes))
	s.duration.Observe(d.Seconds())
	s.decided(r)
}

// decided counts what was decided, and what came of it.
func (s *gateSeries) decided(r *GateRequest) {
	switch {
	case r.Allowed:
		s.accepted.Inc()
	case r.Reason != "":
		s.denials.count(r.Reason)
	}
	if r.Invalid != "" {
		s.invalid.count(r.Invalid)
	}
	if r.Problem != "" {
		s.answers.count(r.Problem)
	}
	if r.Exchange != "" && s.exchanges != nil {
		s.exchanges.count(r.Exchange)
	}
	s.retries.Add(float64(max(0, r.Attempts-1)))
	if r.Late {
		s.late.Inc()
	}
	if r.Lost {
		s.lost.Inc()
	}
}
