package telemetry

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Audience is an audience as labels name it.
type Audience struct{ Team, Name string }

// What may come of an acquisition besides the classes of failure.
const (
	AcquiredNew  = "ok"
	AcquiredSame = "same" // as the token before, or as the one that was refused
)

// failureClasses are the classes of package token, by the names that it gives
// them.
var failureClasses = []string{"unknown", "sign-in needed", "consent missing", "blocked by policy", "misconfigured", "unavailable", "not installed", "declined"}

// acquisitionTimes are the bounds of what acquisitions take, in seconds: az is
// slow.
var acquisitionTimes = []float64{.005, .025, .1, .25, .5, 1, 2.5, 5, 10, 20, 45}

type tokenMetrics struct {
	acquisitions *prometheus.CounterVec
	duration     *prometheus.HistogramVec
}

func newTokenMetrics(f factory) tokenMetrics {
	return tokenMetrics{
		acquisitions: f.counter("token_acquisitions_total", "Tokens that were asked for, by the source that answered and what came of it.", "team", "audience", "source", "result"),
		duration:     f.histogram("token_acquisition_duration_seconds", "What acquisitions took, whatever came of them.", acquisitionTimes, "team", "audience"),
	}
}

// fetches are the metrics of one audience.
type fetches struct {
	m        *Metrics
	audience Audience
	results  map[string]*words // by source; "" is that of failures that are no one source's
	duration prometheus.Observer
}

func (m *Metrics) newFetches(a Audience, sources []string) *fetches {
	f := &fetches{m: m, audience: a, results: map[string]*words{}, duration: m.tokens.duration.WithLabelValues(a.Team, a.Name)}
	for _, source := range append([]string{""}, sources...) {
		f.results[source] = newWords(m.tokens.acquisitions, slices.Concat([]string{AcquiredNew, AcquiredSame}, failureClasses), a.Team, a.Name, source)
	}
	return f
}

func (f *fetches) remove() {
	for _, w := range f.results {
		w.end()
	}
	l := prometheus.Labels{"team": f.audience.Team, "audience": f.audience.Name}
	f.m.tokens.acquisitions.DeletePartialMatch(l)
	f.m.tokens.duration.DeletePartialMatch(l)
}

// Acquired counts a token that was asked for. Result is [AcquiredNew],
// [AcquiredSame] or a class of failure.
func (m *Metrics) Acquired(a Audience, source, result string, took time.Duration) {
	f := (*m.audiences.Load())[a]
	if f == nil {
		return // its last request ends under a configuration that has gone
	}
	w := f.results[source]
	if w == nil {
		w = f.results[""] // no source that the configuration names
	}
	w.count(result)
	f.duration.Observe(took.Seconds())
}
