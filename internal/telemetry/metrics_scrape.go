package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// atScrape collects what is as it is at the moment of a scrape.
type atScrape struct{ o *MetricsOptions }

func described(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(namespace+"_"+name, help, labels, nil)
}

var (
	tokenExpiry      = described("token_expiry_seconds", "Until the token of an audience ends; absent while there is none or its end is not known.", "team", "audience")
	tokenHeld        = described("token_held", "1 while an audience has a live token. It has none before the first request.", "team", "audience")
	tokenTrouble     = described("token_trouble", "1 while a failure to acquire a token is remembered, by its class.", "team", "audience", "class")
	sessionsLive     = described("sessions_live", "MCP sessions that are known.")
	sessionsHealing  = described("sessions_recovering", "MCP sessions that are being recovered.")
	sessionStreams   = described("session_streams_held", "Event streams of MCP sessions that are held open.")
	configInUse      = described("config_in_use_timestamp_seconds", "When the configuration in use took over.")
	caExpiry         = described("ca_expiry_timestamp_seconds", "When the CA ends.")
	auditErrorsTotal = described("audit_errors_total", "Writes and openings of the audit file that failed; a line that was cut off is completed later.")
	auditLost        = described("audit_lines_lost_total", "Lines that are missing in the audit file.")
)

// Describe implements [prometheus.Collector].
func (c atScrape) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{tokenExpiry, tokenHeld, tokenTrouble, sessionsLive, sessionsHealing, sessionStreams, configInUse, caExpiry, auditErrorsTotal, auditLost} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (c atScrape) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	if c.o.Tokens != nil {
		c.tokens(gauge)
	}
	if c.o.Sessions != nil {
		s := c.o.Sessions()
		gauge(sessionsLive, float64(s.Live))
		gauge(sessionsHealing, float64(s.Recovering))
		gauge(sessionStreams, float64(s.Streams))
	}
	if c.o.InUse != nil {
		gauge(configInUse, unixSeconds(c.o.InUse()))
	}
	if c.o.CAExpiry != nil {
		if end := c.o.CAExpiry(); !end.IsZero() {
			gauge(caExpiry, unixSeconds(end))
		}
	}
	counter := func(d *prometheus.Desc, n func() int64) {
		if n != nil {
			ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n()))
		}
	}
	counter(auditErrorsTotal, c.o.AuditErrors)
	counter(auditLost, c.o.AuditLost)
}

func (c atScrape) tokens(gauge func(*prometheus.Desc, float64, ...string)) {
	for _, t := range c.o.Tokens() {
		held := 0.0
		if t.Held {
			held = 1
			if !t.Expiry.IsZero() {
				gauge(tokenExpiry, time.Until(t.Expiry).Seconds(), t.Team, t.Name)
			}
		}
		gauge(tokenHeld, held, t.Team, t.Name)
		if t.Trouble != "" {
			gauge(tokenTrouble, 1, t.Team, t.Name, t.Trouble)
		}
	}
}

func unixSeconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
