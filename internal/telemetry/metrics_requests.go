package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/injectproxy/injectproxy/internal/record"
)

// latencies are the bounds of what requests take, in seconds. Models and tools
// think for minutes.
var latencies = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300}

// codeLabels are the values of the label code, by the first digit of the status.
var codeLabels = [...]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"}

type requestMetrics struct {
	requests, bytes, answers, retries *prometheus.CounterVec
	inFlight, streams                 *prometheus.GaugeVec
	duration, header                  *prometheus.HistogramVec
}

func newRequestMetrics(f factory) requestMetrics {
	return requestMetrics{
		requests: f.counter("requests_total", "Intercepted requests that have ended, by the class of the status that went downstream; none if the client left before.", "team", "rule", "kind", "code"),
		bytes:    f.counter("response_bytes_total", "Body bytes that went downstream, counted when the request ends.", "team", "rule"),
		answers:  f.counter("own_answers_total", "Requests that the proxy answered itself, by the title of the problem.", "team", "rule", "problem"),
		retries:  f.counter("retries_total", "Refused tokens, by what came of it.", "team", "rule", "outcome"),
		inFlight: f.gauge("requests_in_flight", "Intercepted requests that have not ended, streams included.", "team", "rule"),
		streams:  f.gauge("streams_open", "Event streams and upgraded connections that have not ended.", "team", "rule"),
		duration: f.histogram("request_duration_seconds", "From a request's header to the end of its answer.", latencies, "team", "rule"),
		header:   f.histogram("response_header_seconds", "From a request's header to the header of its answer, which is when a stream begins.", latencies, "team", "rule"),
	}
}

// byRule are the metrics with series of each rule.
func (m *Metrics) byRule() []*prometheus.MetricVec {
	q, s := &m.requests, &m.sessions
	all := []*prometheus.MetricVec{
		q.requests.MetricVec, q.bytes.MetricVec, q.answers.MetricVec, q.retries.MetricVec, q.inFlight.MetricVec, q.streams.MetricVec,
		q.duration.MetricVec, q.header.MetricVec, s.lost.MetricVec, s.failed.MetricVec, s.duration.MetricVec,
	}
	for _, e := range s.events {
		all = append(all, e.MetricVec)
	}
	return all
}

// Series are the metrics of one rule, looked up once: to count costs no
// allocation. They go on counting after the rule is gone, unseen.
type Series struct {
	m        *Metrics
	rule     Rule
	codes    [len(codeLabels)]prometheus.Counter
	bytes    prometheus.Counter
	inFlight prometheus.Gauge
	streams  prometheus.Gauge
	duration prometheus.Observer
	header   prometheus.Observer
	answers  *words
	retries  *words
	sessions sessionSeries
}

func (m *Metrics) newSeries(r Rule) *Series {
	q := &m.requests
	s := &Series{
		m: m, rule: r, bytes: q.bytes.WithLabelValues(r.Team, r.Name),
		inFlight: q.inFlight.WithLabelValues(r.Team, r.Name), streams: q.streams.WithLabelValues(r.Team, r.Name),
		duration: q.duration.WithLabelValues(r.Team, r.Name), header: q.header.WithLabelValues(r.Team, r.Name),
		answers: newWords(q.answers, nil, r.Team, r.Name), retries: newWords(q.retries, nil, r.Team, r.Name),
	}
	for i, code := range codeLabels {
		s.codes[i] = q.requests.WithLabelValues(r.Team, r.Name, r.Kind, code)
	}
	if r.Name != "" { // no token is attached to what is under no rule
		s.retries = newWords(q.retries, m.o.Retries, r.Team, r.Name)
	}
	if r.Kind == "mcp" {
		s.sessions = m.newSessionSeries(r)
	}
	return s
}

func (s *Series) remove() {
	for _, w := range []*words{s.answers, s.retries, s.sessions.lost, s.sessions.failed} {
		if w != nil {
			w.end()
		}
	}
	for _, v := range s.m.byRule() {
		v.DeletePartialMatch(prometheus.Labels{"team": s.rule.Team, "rule": s.rule.Name})
	}
}

// Began notes that a request has begun. The other methods have to be told of
// the same record.
func (m *Metrics) Began(r *record.Record) {
	s := (*m.rules.Load())[ruleOf(r)]
	if s == nil {
		return // of a rule that a change has just taken away
	}
	r.Counted = s
	s.inFlight.Inc()
}

// Answered notes that the header of its answer goes downstream.
func (m *Metrics) Answered(r *record.Record) {
	s, ok := r.Counted.(*Series)
	if !ok {
		return
	}
	s.header.Observe(r.Answered.Sub(r.Start).Seconds())
	if r.Stream {
		s.streams.Inc()
	}
}

// Done notes that it has ended, after the given seconds.
func (m *Metrics) Done(r *record.Record, seconds float64) {
	s, ok := r.Counted.(*Series)
	if !ok {
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
	s.duration.Observe(seconds)
	if r.Problem != "" {
		s.answers.count(r.Problem)
	}
	if r.Retry != "" {
		s.retries.count(r.Retry)
	}
}
