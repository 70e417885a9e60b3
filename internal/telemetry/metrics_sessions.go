package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// recoveryTimes are the bounds of what recoveries take, in seconds.
var recoveryTimes = []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

// sessionEvents are the kinds of events that need no more than a count, with
// their metrics.
var sessionEvents = [...]struct{ kind, name, help string }{
	{"accepted", "session_accepted_total", "MCP sessions that began."},
	{"healed", "session_healed_total", "Lost MCP sessions in whose place another stands."},
	{"replayed", "session_replayed_total", "Messages that a server refused with a lost session and that were sent again."},
	{"dropped", "session_dropped_total", "Messages of a lost session that nobody waits for and that were not sent again."},
	{"suppressed", "session_suppressed_total", "Lost sessions for which no recovery was tried, because of the cool-down."},
	{"timed out", "session_timed_out_total", "Messages of a session that the server took and did not answer in time."},
	{"ended", "session_ended_total", "MCP sessions that their client ended."},
	{"reopened", "session_streams_reopened_total", "Held event streams that were opened again."},
}

type sessionMetrics struct {
	events       [len(sessionEvents)]*prometheus.CounterVec
	lost, failed *prometheus.CounterVec
	duration     *prometheus.HistogramVec
}

func newSessionMetrics(f factory) (s sessionMetrics) {
	for i, e := range sessionEvents {
		s.events[i] = f.counter(e.name, e.help, "team", "rule")
	}
	s.lost = f.counter("session_lost_total", "MCP sessions that the server did not know any more, by how that showed.", "team", "rule", "symptom")
	s.failed = f.counter("session_recovery_failed_total", "MCP sessions that could not be recovered, by the reason.", "team", "rule", "reason")
	s.duration = f.histogram("session_recovery_duration_seconds", "What recoveries of MCP sessions took, whatever came of them.", recoveryTimes, "team", "rule")
	return s
}

// sessionSeries are those of one rule of kind mcp; the zero one counts nothing.
type sessionSeries struct {
	events       map[string]prometheus.Counter // by kind
	lost, failed *words
	duration     prometheus.Observer
}

func (m *Metrics) newSessionSeries(r Rule) sessionSeries {
	s := sessionSeries{
		events: map[string]prometheus.Counter{}, duration: m.sessions.duration.WithLabelValues(r.Team, r.Name),
		lost:   newWords(m.sessions.lost, m.o.Losses, r.Team, r.Name),
		failed: newWords(m.sessions.failed, m.o.Reasons, r.Team, r.Name),
	}
	for i, e := range sessionEvents {
		s.events[e.kind] = m.sessions.events[i].WithLabelValues(r.Team, r.Name)
	}
	return s
}

// Session counts an event of the session of a rule by its kind, as package
// session names it. Detail is the symptom of a loss or the reason of a failure,
// took what a recovery took, if there was one.
func (m *Metrics) Session(r Rule, kind, detail string, took time.Duration) {
	series := (*m.rules.Load())[r]
	if series == nil || series.sessions.events == nil {
		return
	}
	s := &series.sessions
	switch kind {
	case "lost":
		s.lost.count(detail)
	case "failed":
		s.failed.count(detail)
	default:
		if c := s.events[kind]; c != nil {
			c.Inc()
		}
	}
	if took > 0 && (kind == "failed" || kind == "healed") {
		s.duration.Observe(took.Seconds())
	}
}
