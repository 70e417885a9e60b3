package telemetry

import (
	"fmt"
	"maps"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/record"
)

// scrape returns each series that m shows, as it is written, with its value.
// Those of the Go runtime and the process are left out.
func scrape(t testing.TB, m *Metrics) map[string]float64 {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
	all := map[string]float64{}
	for line := range strings.Lines(w.Body.String()) {
		if !strings.HasPrefix(line, namespace+"_") {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		v, err := strconv.ParseFloat(strings.TrimSpace(line[at:]), 64)
		if err != nil {
			t.Errorf("%s: %v", line, err)
		}
		all[line[:at]] = v
	}
	return all
}

var api = Rule{"", "api", "http"}

func newMetrics(rules ...Rule) *Metrics {
	m := NewMetrics(MetricsOptions{Version: "v1", Retries: []string{"healed", "same token"}, Losses: []string{"404", "400"}, Reasons: []string{"no answer"}})
	m.SetRules(rules)
	return m
}

// count runs r through m as the proxy does.
func count(m *Metrics, r *record.Record) {
	m.Began(r)
	if !r.Answered.IsZero() {
		m.Answered(r)
	}
	m.Done(r, r.Answered.Sub(r.Start).Seconds())
}

func wantSeries(t testing.TB, got map[string]float64, want map[string]float64) {
	t.Helper()
	for name, v := range want {
		if g, ok := got[name]; !ok || g != v {
			t.Errorf("%s is %v (there: %v), want %v", name, g, ok, v)
		}
	}
}

func TestRequestsAreCountedByRule(t *testing.T) {
	m := newMetrics(mcpOne, api)
	healed := answered(200, 300*time.Millisecond)
	healed.Bytes, healed.Retry = 1000, "healed"
	count(m, healed)
	count(m, answered(404, 10*time.Millisecond))
	own := answered(511, time.Millisecond)
	own.Problem = "A sign-in is needed"
	count(m, own)
	count(m, &record.Record{Start: time.Unix(1, 0), Answered: time.Unix(3, 0), Status: 204})
	left := &record.Record{Rule: "api", Kind: "http", Start: time.Unix(1, 0)}
	m.Began(left)
	stream := answered(200, time.Millisecond)
	stream.Stream = true
	m.Began(stream)
	m.Answered(stream)

	got := scrape(t, m)
	const of = `{rule="mcp-1",team="platform"}`
	wantSeries(t, got, map[string]float64{
		`injectproxy_requests_total{code="2xx",kind="mcp",rule="mcp-1",team="platform"}`:            1,
		`injectproxy_requests_total{code="4xx",kind="mcp",rule="mcp-1",team="platform"}`:            1,
		`injectproxy_requests_total{code="5xx",kind="mcp",rule="mcp-1",team="platform"}`:            1,
		`injectproxy_requests_total{code="2xx",kind="",rule="",team=""}`:                            1,
		`injectproxy_requests_total{code="none",kind="http",rule="api",team=""}`:                    0,
		`injectproxy_response_bytes_total` + of:                                                     1000,
		`injectproxy_retries_total{outcome="healed",rule="mcp-1",team="platform"}`:                  1,
		`injectproxy_retries_total{outcome="same token",rule="api",team=""}`:                        0,
		`injectproxy_own_answers_total{problem="A sign-in is needed",rule="mcp-1",team="platform"}`: 1,
		`injectproxy_requests_in_flight` + of:                                                       1,
		`injectproxy_streams_open` + of:                                                             1,
		`injectproxy_requests_in_flight{rule="api",team=""}`:                                        1,
		`injectproxy_response_header_seconds_count` + of:                                            4,
		`injectproxy_response_header_seconds_bucket{rule="mcp-1",team="platform",le="0.25"}`:        3,
		`injectproxy_request_duration_seconds_bucket{rule="mcp-1",team="platform",le="0.5"}`:        3,
		`injectproxy_request_duration_seconds_count` + of:                                           3,
		`injectproxy_request_duration_seconds_sum{rule="",team=""}`:                                 2,
		`injectproxy_build_info{goversion="` + goVersion(t, got) + `",version="v1"}`:                1,
	})
	m.Done(left, 1)
	m.Done(stream, 3600)
	wantSeries(t, scrape(t, m), map[string]float64{
		`injectproxy_requests_total{code="none",kind="http",rule="api",team=""}`: 1,
		`injectproxy_requests_in_flight` + of:                                    0,
		`injectproxy_streams_open` + of:                                          0,
		`injectproxy_requests_in_flight{rule="api",team=""}`:                     0,
	})
}

func goVersion(t testing.TB, series map[string]float64) string {
	for name := range series {
		if _, rest, ok := strings.Cut(name, `goversion="`); ok {
			v, _, _ := strings.Cut(rest, `"`)
			return v
		}
	}
	t.Error("no version of Go")
	return ""
}

func TestSessionEventsAreCountedByRule(t *testing.T) {
	m := newMetrics(mcpOne, api)
	got := scrape(t, m)
	const of = `{rule="mcp-1",team="platform"}`
	zero := map[string]float64{
		`injectproxy_session_lost_total{rule="mcp-1",symptom="404",team="platform"}`:                 0,
		`injectproxy_session_recovery_failed_total{reason="no answer",rule="mcp-1",team="platform"}`: 0,
		`injectproxy_session_recovery_duration_seconds_count` + of:                                   0,
	}
	for _, e := range sessionEvents {
		zero["injectproxy_"+e.name+of] = 0
	}
	wantSeries(t, got, zero)
	for name := range got {
		if strings.Contains(name, "session_") && strings.Contains(name, `rule="api"`) {
			t.Errorf("%s, of a rule without sessions", name)
		}
	}
	for _, e := range sessionEvents {
		m.Session(mcpOne, e.kind, "", 2*time.Second)
	}
	m.Session(mcpOne, "lost", "404", 0)
	m.Session(mcpOne, "failed", "no answer", 3*time.Second)
	m.Session(api, "lost", "404", 0)
	m.Session(Rule{Name: "unknown"}, "lost", "404", 0)
	for name := range zero {
		zero[name] = 1
	}
	zero[`injectproxy_session_recovery_duration_seconds_count`+of] = 2
	zero[`injectproxy_session_recovery_duration_seconds_sum`+of] = 5
	wantSeries(t, scrape(t, m), zero)
}

func TestTokensAndTunnelsAndReloadsAreCounted(t *testing.T) {
	gateway := Audience{"", "gateway"}
	m := NewMetrics(MetricsOptions{
		Tokens: func() []TokenState {
			return []TokenState{
				{Audience: gateway, Held: true, Expiry: time.Now().Add(time.Hour), Trouble: "unavailable"},
				{Audience: Audience{"", "file"}, Held: true}, {Audience: Audience{"x", "none"}, Expiry: time.Now()},
			}
		},
		Sessions:    func() SessionState { return SessionState{3, 2, 1} },
		InUse:       func() time.Time { return time.Unix(1700000000, 0) },
		CAExpiry:    func() time.Time { return time.Unix(1800000000, 0) },
		AuditErrors: func() int64 { return 7 },
	})
	m.SetAudiences([]Audience{gateway}, func(Audience) []string { return []string{"default", "az"} })
	wantSeries(t, scrape(t, m), map[string]float64{
		`injectproxy_token_acquisitions_total{audience="gateway",result="sign-in needed",source="az",team=""}`: 0,
		`injectproxy_token_acquisitions_total{audience="gateway",result="ok",source="default",team=""}`:        0,
	})
	m.Acquired(gateway, "az", AcquiredNew, 2*time.Second)
	m.Acquired(gateway, "az", AcquiredSame, time.Second)
	m.Acquired(gateway, "", "sign-in needed", time.Second)
	m.Acquired(gateway, "what nobody configured", "unavailable", 0)
	m.Acquired(Audience{"", "gone"}, "az", AcquiredNew, 0)
	ended := m.Tunnel(true)
	m.Tunnel(true)(10, 20)
	if m.Tunnel(false) != nil {
		t.Error("a tunnel that was not made is to end")
	}
	m.Reloaded(true)
	m.Reloaded(false)
	m.SetTeamsOff(2)
	got := scrape(t, m)
	wantSeries(t, got, map[string]float64{
		`injectproxy_token_acquisitions_total{audience="gateway",result="ok",source="az",team=""}`:           1,
		`injectproxy_token_acquisitions_total{audience="gateway",result="same",source="az",team=""}`:         1,
		`injectproxy_token_acquisitions_total{audience="gateway",result="sign-in needed",source="",team=""}`: 1,
		`injectproxy_token_acquisitions_total{audience="gateway",result="unavailable",source="",team=""}`:    1,
		`injectproxy_token_acquisition_duration_seconds_sum{audience="gateway",team=""}`:                     4,
		`injectproxy_token_held{audience="gateway",team=""}`:                                                 1,
		`injectproxy_token_held{audience="none",team="x"}`:                                                   0,
		`injectproxy_token_trouble{audience="gateway",class="unavailable",team=""}`:                          1,
		`injectproxy_tunnels_total{result="made"}`:                                                           2,
		`injectproxy_tunnels_total{result="refused"}`:                                                        1,
		`injectproxy_tunnels_open`:                          1,
		`injectproxy_tunnel_bytes_total{direction="up"}`:    10,
		`injectproxy_tunnel_bytes_total{direction="down"}`:  20,
		`injectproxy_config_reloads_total{result="ok"}`:     1,
		`injectproxy_config_reloads_total{result="broken"}`: 1,
		`injectproxy_config_broken`:                         1,
		`injectproxy_teams_off`:                             2,
		`injectproxy_sessions_live`:                         3,
		`injectproxy_sessions_recovering`:                   2,
		`injectproxy_session_streams_held`:                  1,
		`injectproxy_config_in_use_timestamp_seconds`:       1700000000,
		`injectproxy_ca_expiry_timestamp_seconds`:           1800000000,
		`injectproxy_audit_errors_total`:                    7,
	})
	if left := got[`injectproxy_token_expiry_seconds{audience="gateway",team=""}`]; left < 3500 || left > 3600 {
		t.Errorf("%v seconds to expiry, of an hour", left)
	}
	for name := range got {
		if strings.HasPrefix(name, "injectproxy_token_expiry_seconds") && !strings.Contains(name, "gateway") {
			t.Errorf("%s, where the expiry is not known", name)
		}
	}
	ended(0, 0)
	m.Reloaded(true)
	wantSeries(t, scrape(t, m), map[string]float64{`injectproxy_tunnels_open`: 0, `injectproxy_config_broken`: 0})
	m.SetAudiences(nil, nil)
	for name := range scrape(t, m) {
		if strings.HasPrefix(name, "injectproxy_token_acq") {
			t.Errorf("%s, of an audience that is gone", name)
		}
	}
}

// What is not in the configuration does not make a series, and a rule that goes
// takes its own along, also when one of its requests is late.
func TestMetricsAreBoundedByTheRules(t *testing.T) {
	m := newMetrics(mcpOne)
	count(m, answered(200, time.Millisecond))
	before := scrape(t, m)
	for i := range 10000 {
		r := answered(200+i%400, time.Millisecond)
		r.Authority, r.Path, r.Client = fmt.Sprintf("host-%d.example:443", i), fmt.Sprintf("/%d", i), fmt.Sprintf("client-%d", i)
		r.Method, r.Source, r.Fingerprint = fmt.Sprintf("M%d", i), fmt.Sprintf("s%d", i), fmt.Sprintf("%08x", i)
		count(m, r)
		r = answered(200, time.Millisecond)
		r.Rule = fmt.Sprintf("rule-%d", i)
		count(m, r)
	}
	if got := scrape(t, m); !slices.Equal(slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(before))) {
		t.Errorf("%d series before, %d after", len(before), len(got))
	}
	for i := range 10000 { // words from sets that are fixed, or so it was believed
		r := answered(200, time.Millisecond)
		r.Problem, r.Retry = fmt.Sprintf("problem %d", i), fmt.Sprintf("outcome %d", i)
		count(m, r)
		m.Session(mcpOne, "lost", fmt.Sprintf("symptom %d", i), 0)
	}
	got := scrape(t, m)
	if n := len(got) - len(before); n > 3*(mostWords+1) {
		t.Errorf("%d more series", n)
	}
	wantSeries(t, got, map[string]float64{`injectproxy_own_answers_total{problem="other",rule="mcp-1",team="platform"}`: 10000 - mostWords})

	late := answered(200, time.Millisecond)
	m.Began(late)
	series := late.Counted.(*Series)
	m.SetRules([]Rule{api})
	m.Answered(late)
	late.Problem, late.Retry = "late problem", "late outcome"
	m.Done(late, 1)
	series.sessions.lost.count("late symptom")
	for name := range scrape(t, m) {
		if strings.Contains(name, "mcp-1") {
			t.Errorf("%s, after the rule is gone", name)
		}
	}
	m.SetRules([]Rule{api, mcpOne})
	wantSeries(t, scrape(t, m), map[string]float64{
		`injectproxy_requests_in_flight{rule="mcp-1",team="platform"}`:                   0,
		`injectproxy_requests_total{code="2xx",kind="mcp",rule="mcp-1",team="platform"}`: 0,
	})
	m.SetRules([]Rule{api, {"platform", "mcp-1", "llm"}}) // which has the labels of what goes
	wantSeries(t, scrape(t, m), map[string]float64{
		`injectproxy_requests_in_flight{rule="mcp-1",team="platform"}`:                   0,
		`injectproxy_requests_total{code="2xx",kind="llm",rule="mcp-1",team="platform"}`: 0,
	})
}

// Scrapes, requests and changes of the configuration at once: what is counted
// is right, and never less than at the scrape before.
func TestScrapeUnderLoad(t *testing.T) {
	const workers, each = 8, 500
	m := newMetrics(mcpOne, api)
	var load, others sync.WaitGroup
	over := make(chan struct{})
	for range workers {
		load.Go(func() {
			for range each {
				r := answered(200, time.Millisecond)
				r.Problem = "The rule for this request is off"
				count(m, r)
			}
		})
	}
	others.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-over:
				return
			default:
				m.SetRules([]Rule{mcpOne, {"", fmt.Sprintf("api-%d", n%3), "http"}}[:1+n%2])
			}
		}
	})
	others.Go(func() {
		const name = `injectproxy_requests_total{code="2xx",kind="mcp",rule="mcp-1",team="platform"}`
		for last := 0.0; ; {
			got := scrape(t, m)[name]
			if got < last {
				t.Errorf("%v requests after %v", got, last)
			}
			last = got
			select {
			case <-over:
				return
			default:
			}
		}
	})
	load.Wait()
	close(over)
	others.Wait()
	wantSeries(t, scrape(t, m), map[string]float64{
		`injectproxy_requests_total{code="2xx",kind="mcp",rule="mcp-1",team="platform"}`:                         workers * each,
		`injectproxy_requests_in_flight{rule="mcp-1",team="platform"}`:                                           0,
		`injectproxy_own_answers_total{problem="The rule for this request is off",rule="mcp-1",team="platform"}`: workers * each,
	})
}

func TestCountingARequestAllocatesNothing(t *testing.T) {
	m := newMetrics(mcpOne)
	r := answered(200, time.Millisecond)
	r.Stream, r.Problem, r.Retry = true, "The rule for this request is off", "healed"
	count(m, r)
	if n := testing.AllocsPerRun(1000, func() { count(m, r); m.Session(mcpOne, "healed", "", time.Second) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCountingARequest(b *testing.B) {
	m := newMetrics(mcpOne)
	h := NewHistory(nil)
	h.SetRules([]Rule{mcpOne})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		r := answered(200, time.Millisecond)
		for pb.Next() {
			count(m, r)
			h.Answered(r)
		}
	})
}
