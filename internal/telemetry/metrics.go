package telemetry

import (
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// MetricsOptions say what a [Metrics] cannot count by itself. All may be
// missing. The functions are called by each scrape, concurrently.
type MetricsOptions struct {
	Version string
	Retries []string // what may become of a refused token: the values of Record.Retry
	Losses  []string // how the loss of a session shows
	Reasons []string // why a session is not recovered

	Tokens      func() []TokenState
	Sessions    func() SessionState
	InUse       func() time.Time // when the configuration in use took over
	CAExpiry    func() time.Time // zero without a CA
	AuditErrors func() int64     // writes and openings of the audit file that failed
	AuditLost   func() int64     // lines that are missing in it
}

// TokenState is what an audience has at the moment.
type TokenState struct {
	Audience
	Held    bool
	Expiry  time.Time // zero if that is not known
	Trouble string    // the class of the failure that is remembered, "" for none
}

// SessionState counts the sessions of MCP clients that are known.
type SessionState struct{ Live, Recovering, Streams int }

// Metrics are the numbers of one proxy, for Prometheus. They are labelled by
// what the configuration names and by fixed sets of words, never by hosts, paths
// or what a client says: their number is bounded by the rules and audiences.
// Those of a rule are there, at zero, once it is configured, and gone when it is
// not. It is safe for concurrent use.
type Metrics struct {
	o        MetricsOptions
	registry *prometheus.Registry

	requests requestMetrics
	sessions sessionMetrics
	tokens   tokenMetrics
	tunnels  tunnelMetrics
	reloads  *prometheus.CounterVec
	broken   prometheus.Gauge
	teamsOff prometheus.Gauge

	mu        sync.Mutex                            // held by who changes what follows
	rules     atomic.Pointer[map[Rule]*Series]      // never changed in place
	audiences atomic.Pointer[map[Audience]*fetches] // likewise
}

// NewMetrics returns Metrics of no rules and no audiences, in a registry of
// their own with those of the Go runtime and the process.
func NewMetrics(o MetricsOptions) *Metrics {
	m := &Metrics{o: o, registry: prometheus.NewRegistry()}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), atScrape{&m.o})
	f := factory{m.registry}
	m.requests, m.sessions, m.tokens, m.tunnels = newRequestMetrics(f), newSessionMetrics(f), newTokenMetrics(f), newTunnelMetrics(f)
	m.reloads = f.counter("config_reloads_total", "Changes of the configuration, by whether they were taken over.", "result")
	m.reloads.WithLabelValues(taken)
	m.reloads.WithLabelValues(refused)
	m.broken = f.gauge("config_broken", "1 while the files cannot be taken over and an older configuration is in use.").WithLabelValues()
	m.teamsOff = f.gauge("teams_off", "Teams whose file is broken, so that their rules are off.").WithLabelValues()
	f.gauge("build_info", "1, with the version of injectproxy and of Go.", "version", "goversion").WithLabelValues(o.Version, runtime.Version()).Set(1)
	m.rules.Store(&map[Rule]*Series{})
	m.audiences.Store(&map[Audience]*fetches{})
	m.SetRules(nil)
	return m
}

// Handler answers scrapes.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 8})
}

const (
	taken   = "ok"
	refused = "broken"
)

// Reloaded counts a change of the configuration that was taken over, or was not
// because the files are broken.
func (m *Metrics) Reloaded(ok bool) {
	if ok {
		m.reloads.WithLabelValues(taken).Inc()
		m.broken.Set(0)
		return
	}
	m.reloads.WithLabelValues(refused).Inc()
	m.broken.Set(1)
}

// SetTeamsOff says how many teams are off.
func (m *Metrics) SetTeamsOff(n int) { m.teamsOff.Set(float64(n)) }

// SetRules says which rules there are from now on, besides the zero one.
func (m *Metrics) SetRules(rules []Rule) {
	m.mu.Lock()
	defer m.mu.Unlock()
	replace(&m.rules, append([]Rule{{}}, rules...), m.newSeries, (*Series).remove)
}

// SetAudiences says which audiences there are from now on.
func (m *Metrics) SetAudiences(audiences []Audience, sources func(Audience) []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	replace(&m.audiences, audiences, func(a Audience) *fetches { return m.newFetches(a, sources(a)) }, (*fetches).remove)
}

// replace makes the map that p points to one of keys. What goes goes before
// anything comes: a rule that only changes its kind has its labels back.
func replace[K comparable, V any](p *atomic.Pointer[map[K]*V], keys []K, add func(K) *V, remove func(*V)) {
	former, now := *p.Load(), make(map[K]*V, len(keys))
	for _, k := range keys {
		now[k] = former[k]
	}
	for k, v := range former {
		if _, stays := now[k]; !stays {
			remove(v)
		}
	}
	for k, v := range now {
		if v == nil {
			now[k] = add(k)
		}
	}
	p.Store(&now)
}

// factory makes metrics and registers them.
type factory struct{ to prometheus.Registerer }

const namespace = "injectproxy"

func (f factory) counter(name, help string, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	f.to.MustRegister(v)
	return v
}

func (f factory) gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels)
	f.to.MustRegister(v)
	return v
}

func (f factory) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
	f.to.MustRegister(v)
	return v
}
