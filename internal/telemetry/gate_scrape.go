package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// gateAtScrape collects what is as it is at the moment of a scrape.
type gateAtScrape struct{ o *GateMetricsOptions }

var (
	gateReady       = described("gate_ready", "1 while new requests are wanted: keys were loaded, and the gate does not drain.")
	gateSessions    = described("gate_sessions_live", "MCP sessions that are known, and whose they are.")
	gateKeysHeld    = described("gate_keys_held", "Keys of a tenant by which tokens are verified.", "tenant")
	gateKeysAge     = described("gate_keys_age_seconds", "Since the keys of a tenant were last had from the authority; absent before the first time.", "tenant")
	gateCertificate = described("gate_certificate_expiry_timestamp_seconds", "When the certificate that clients see ends; absent where the gate has none.")
)

// Describe implements [prometheus.Collector].
func (c gateAtScrape) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{gateReady, gateSessions, gateKeysHeld, gateKeysAge, gateCertificate, auditErrorsTotal, auditLost} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (c gateAtScrape) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	if c.o.Ready != nil {
		ready := 0.0
		if c.o.Ready() {
			ready = 1
		}
		gauge(gateReady, ready)
	}
	if c.o.Sessions != nil {
		gauge(gateSessions, float64(c.o.Sessions()))
	}
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

func (c gateAtScrape) keys(gauge func(*prometheus.Desc, float64, ...string)) {
	for _, k := range c.o.Keys() {
		gauge(gateKeysHeld, float64(k.Held), k.Tenant)
		if !k.Fetched.IsZero() {
			gauge(gateKeysAge, time.Since(k.Fetched).Seconds(), k.Tenant)
		}
	}
}
