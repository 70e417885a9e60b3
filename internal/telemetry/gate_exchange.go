package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// exchangeSeries are the metrics of what the authority is asked to exchange.
type exchangeSeries struct {
	requests *words
	duration prometheus.Observer
}

// exchanging makes the metrics of exchanged tokens, unless no route has any.
func (m *GateMetrics) exchanging(f factory, o *GateMetricsOptions) {
	if len(o.Exchanging) == 0 {
		return
	}
	of := f.counter("gate_exchanges_total", "Requests whose caller's token was to be exchanged, by what came of it; most are answered from memory.", "route", "result")
	for _, route := range o.Exchanging {
		m.routes[route].exchanges = newWords(of, o.Exchanges, route)
	}
	asked := f.counter("gate_exchange_requests_total", "Requests to the authority for an exchanged token, by what came of them.", "result")
	took := f.histogram("gate_exchange_request_duration_seconds", "What these took.", latencies)
	m.entra = &exchangeSeries{newWords(asked, o.Exchanges), took.WithLabelValues()}
}

// Exchanged notes a request to the authority for an exchanged token.
func (m *GateMetrics) Exchanged(result string, took time.Duration) {
	if m.entra == nil {
		return
	}
	m.entra.requests.count(result)
	m.entra.duration.Observe(took.Seconds())
}
