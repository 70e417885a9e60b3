package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// gateAtScrape collects what is as it is at the moment of a scrape.
type gateAtScrape struct{ o *GateMetricsOptions }

var (
	gateReady         = described("gate_ready", "1 while new requests are wanted: keys were loaded, and the gate does not drain.")
	gateSessions      = described("gate_sessions_live", "MCP sessions that are known, and whose they are; absent where gates share them.")
	gateStoreUp       = described("gate_session_store_up", "1 while the store that gates share their sessions in answers; absent where there is none.")
	gateStoreFailures = described("gate_session_store_failures_total", "How often it was asked and has failed; absent where there is none.")
	gateKeysHeld      = described("gate_keys_held", "Keys of a tenant by which tokens are verified.", "tenant")
	gateKeysAge       = described("gate_keys_age_seconds", "Since the keys of a tenant were last had from the authority; absent before the first time.", "tenant")
	gateCertificate   = described("gate_certificate_expiry_timestamp_seconds", "When the certificate that clients see ends; absent where the gate has none.")
)

// Describe implements [prometheus.Collector].
func (c gateAtScrape) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{gateReady, gateSessions, gateStoreUp, gateStoreFailures, gateKeysHeld, gateKeysAge, gateCertificate, auditErrorsTotal, auditLost} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (c gateAtScrape) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	if c.o.Ready != nil {
		gauge(gateReady, truth(c.o.Ready()))
	}
	c.sessions(ch, gauge)
	if c.o.Keys != nil {
		c.keys(gauge)
	}
	if c.o.Certificate != nil {
		if end := c.o.Certificate(); !end.IsZero() {
			gauge(gateCertificate, unixSeconds(end))
		}
	}
	for d, n := range map[*prometheus.Desc]func() int64{auditErrorsTotal: c.o.AuditErrors, auditLost: c.o.AuditLost} {
		if n != nil {
			ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n()))
		}
	}
}

func (c gateAtScrape) sessions(ch chan<- prometheus.Metric, gauge func(*prometheus.Desc, float64, ...string)) {
	if c.o.Sessions != nil {
		if n := c.o.Sessions(); n >= 0 {
			gauge(gateSessions, float64(n))
		}
	}
	if c.o.Store != nil {
		s := c.o.Store()
		gauge(gateStoreUp, truth(s.Up))
		ch <- prometheus.MustNewConstMetric(gateStoreFailures, prometheus.CounterValue, float64(s.Failures))
	}
}

// truth is how a gauge says whether something is so.
func truth(holds bool) float64 {
	if holds {
		return 1
	}
	return 0
}

func (c gateAtScrape) keys(gauge func(*prometheus.Desc, float64, ...string)) {
	for _, k := range c.o.Keys() {
		gauge(gateKeysHeld, float64(k.Held), k.Tenant)
		if !k.Fetched.IsZero() {
			gauge(gateKeysAge, time.Since(k.Fetched).Seconds(), k.Tenant)
		}
	}
}
