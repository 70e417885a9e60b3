package telemetry

import (
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const tenant = "16b3c013-d300-468d-8c1d-000000000000"

// completeGate returns GateMetrics that have at least one series of each metric.
func completeGate() *GateMetrics {
	m := NewGateMetrics(GateMetricsOptions{
		Version: "v1", Routes: []string{"/mcp", "/other"}, Denials: []string{"tool", "token"}, Invalid: []string{"audience", "expired"},
		Exchanging: []string{"/mcp"}, Exchanges: []string{"ok", "challenged"}, Store: func() StoreState { return StoreState{Failures: 7} },
		Ready: func() bool { return true }, Sessions: func() int { return 3 }, Certificate: func() time.Time { return time.Unix(2e9, 0) },
		Keys: func() []KeyState {
			return []KeyState{{Tenant: tenant, Held: 2, Fetched: time.Now()}, {Tenant: "another"}}
		},
		AuditErrors: func() int64 { return 1 }, AuditLost: func() int64 { return 2 },
	})
	r := &GateRequest{Route: "/other", Problem: "x", Status: 502}
	m.Began(r)
	m.Done(r, 0)
	return m
}

// scrapeGate is scrape of GateMetrics.
func scrapeGate(t testing.TB, m *GateMetrics) map[string]float64 {
	t.Helper()
	return scrape(t, &Metrics{registry: m.registry})
}

func called(status int, took time.Duration) *GateRequest {
	start := time.Unix(1e9, 0)
	return &GateRequest{
		Start: start, Answered: start.Add(took), Route: "/mcp", Method: "POST", Path: "/mcp", Remote: "192.0.2.7", Status: status, Bytes: 120,
		Tenant: tenant, Object: "00000000-0000-0000-0000-0000000000aa", Client: "00000000-0000-0000-0000-0000000000cc", Fingerprint: "5f70bf18",
		Message: "tools/call", Name: "cost_export", Allowed: true, Upstream: "127.0.0.1:9000", Attempts: 1,
	}
}

// countGate runs r through m as a gate does.
func countGate(m *GateMetrics, r *GateRequest) {
	m.Began(r)
	if !r.Answered.IsZero() {
		m.Answered(r)
	}
	m.Done(r, r.Answered.Sub(r.Start))
}

func TestRequestsToAGateAreCountedByRoute(t *testing.T) {
	m := completeGate()
	got := scrapeGate(t, m)
	wantSeries(t, got, map[string]float64{ // before the first request
		`injectproxy_gate_requests_total{code="2xx",route="/mcp"}`:   0,
		`injectproxy_gate_denials_total{reason="tool",route="/mcp"}`: 0,
		`injectproxy_gate_accepted_total{route="/mcp"}`:              0, `injectproxy_gate_timeouts_total{route="/mcp"}`: 0,
		`injectproxy_gate_sessions_lost_total{route="/mcp"}`: 0, `injectproxy_gate_retries_total{route="/mcp"}`: 0,
		`injectproxy_gate_request_duration_seconds_count{route="/mcp"}`: 0,
		`injectproxy_gate_ready`: 1, `injectproxy_gate_sessions_live`: 3, `injectproxy_gate_certificate_expiry_timestamp_seconds`: 2e9,
		`injectproxy_gate_keys_held{tenant="` + tenant + `"}`: 2, `injectproxy_gate_keys_held{tenant="another"}`: 0,
		`injectproxy_audit_errors_total`: 1, `injectproxy_audit_lines_lost_total`: 2,
	})
	if _, ok := got[`injectproxy_gate_keys_age_seconds{tenant="another"}`]; ok {
		t.Error("keys that were never had have an age")
	}

	countGate(m, called(200, 300*time.Millisecond))
	second := called(200, 10*time.Millisecond)
	second.Attempts, second.Lost = 3, true
	countGate(m, second)
	denied := called(403, time.Millisecond)
	denied.Allowed, denied.Reason, denied.Problem, denied.Attempts = false, "tool", "A tool is denied", 0
	countGate(m, denied)
	foreign := called(401, time.Second)
	foreign.Route, foreign.Allowed, foreign.Reason, foreign.Invalid = "/other", false, "token", "audience"
	countGate(m, foreign)
	late := called(504, time.Second)
	late.Late = true
	countGate(m, late)
	countGate(m, &GateRequest{Route: "nowhere", Status: 200, Allowed: true}) // is counted nowhere
	countGate(m, &GateRequest{Route: NoRoute, Status: 421, Reason: "tool"})
	stream := called(200, time.Millisecond)
	stream.Stream = true
	m.Began(stream)
	m.Answered(stream)
	left := &GateRequest{Start: time.Unix(1, 0), Route: "/mcp"}
	m.Began(left)
	const of = `{route="/mcp"}`
	wantSeries(t, scrapeGate(t, m), map[string]float64{
		`injectproxy_gate_requests_total{code="2xx",route="/mcp"}`:                    2,
		`injectproxy_gate_requests_total{code="4xx",route="/mcp"}`:                    1,
		`injectproxy_gate_requests_total{code="5xx",route="/mcp"}`:                    1,
		`injectproxy_gate_requests_total{code="5xx",route="/other"}`:                  1,
		`injectproxy_gate_denials_total{reason="tool",route="/mcp"}`:                  1,
		`injectproxy_gate_own_answers_total{problem="A tool is denied",route="/mcp"}`: 1,
		`injectproxy_gate_denials_total{reason="tool",route="none"}`:                  1,
		`injectproxy_gate_requests_total{code="4xx",route="none"}`:                    1,
		`injectproxy_gate_invalid_tokens_total{reason="audience",route="/other"}`:     1,
		`injectproxy_gate_invalid_tokens_total{reason="expired",route="/other"}`:      0,
		`injectproxy_gate_invalid_tokens_total{reason="audience",route="/mcp"}`:       0,
		`injectproxy_gate_accepted_total` + of:                                        3,
		`injectproxy_gate_retries_total` + of:                                         2,
		`injectproxy_gate_timeouts_total` + of:                                        1,
		`injectproxy_gate_sessions_lost_total` + of:                                   1,
		`injectproxy_gate_response_bytes_total` + of:                                  480,
		`injectproxy_gate_requests_in_flight` + of:                                    2,
		`injectproxy_gate_streams_open` + of:                                          1,
		`injectproxy_gate_response_header_seconds_count` + of:                         5,
		`injectproxy_gate_request_duration_seconds_bucket{route="/mcp",le="0.5"}`:     3,
		`injectproxy_gate_response_header_seconds_bucket{route="/mcp",le="0.5"}`:      4,
		`injectproxy_gate_request_duration_seconds_count` + of:                        4,
		`injectproxy_gate_requests_total{code="none",route="/mcp"}`:                   0,
		`injectproxy_gate_requests_total{code="2xx",route="/other"}`:                  0,
		`injectproxy_gate_denials_total{reason="token",route="/mcp"}`:                 0,
		`injectproxy_gate_own_answers_total{problem="x",route="/other"}`:              1,
		`injectproxy_gate_request_duration_seconds_bucket{route="/mcp",le="+Inf"}`:    4,
		`injectproxy_gate_request_duration_seconds_bucket{route="/other",le="0.005"}`: 1,
		`injectproxy_gate_request_duration_seconds_bucket{route="/mcp",le="0.005"}`:   1,
	})
	m.Done(stream, time.Hour)
	m.Done(left, time.Second)
	wantSeries(t, scrapeGate(t, m), map[string]float64{
		`injectproxy_gate_requests_in_flight` + of: 0, `injectproxy_gate_streams_open` + of: 0,
		`injectproxy_gate_requests_total{code="none",route="/mcp"}`: 1,
	})
}

// Whoever makes up reasons makes no more series than there may be words.
func TestSeriesOfAGateAreBounded(t *testing.T) {
	m := completeGate()
	for i := range 3 * mostWords {
		r := called(403, 0)
		r.Allowed, r.Reason, r.Name, r.Path = false, strings.Repeat("x", i+1), strings.Repeat("y", i), "/mcp/"+strings.Repeat("z", i)
		countGate(m, r)
	}
	n := 0
	for name := range scrapeGate(t, m) {
		if strings.HasPrefix(name, "injectproxy_gate_denials_total") && strings.Contains(name, `"/mcp"`) {
			n++
		}
	}
	if n != mostWords+1 { // and other
		t.Errorf("%d series", n)
	}
}

func TestExchangesOfAGateAreCountedByRouteAndResult(t *testing.T) {
	m := completeGate()
	const asked = "injectproxy_gate_exchange_request_duration_seconds"
	wantSeries(t, scrapeGate(t, m), map[string]float64{ // before the first
		`injectproxy_gate_exchanges_total{result="ok",route="/mcp"}`: 0, `injectproxy_gate_exchanges_total{result="challenged",route="/mcp"}`: 0,
		`injectproxy_gate_exchange_requests_total{result="ok"}`: 0, asked + "_count": 0,
	})
	for _, result := range []string{"ok", "ok", "challenged", ""} {
		r := called(200, 0)
		r.Exchange = result
		countGate(m, r)
	}
	other := called(200, 0)
	other.Route, other.Exchange = "/other", "ok" // which exchanges none
	countGate(m, other)
	m.Exchanged("ok", 30*time.Millisecond)
	got := scrapeGate(t, m)
	wantSeries(t, got, map[string]float64{
		`injectproxy_gate_exchanges_total{result="ok",route="/mcp"}`: 2, `injectproxy_gate_exchanges_total{result="challenged",route="/mcp"}`: 1,
		`injectproxy_gate_exchange_requests_total{result="ok"}`: 1, asked + `_bucket{le="0.025"}`: 0, asked + `_bucket{le="0.05"}`: 1,
	})
	for _, labels := range []string{`{result="ok",route="/other"}`, `{result="",route="/mcp"}`} {
		if _, ok := got[`injectproxy_gate_exchanges_total`+labels]; ok {
			t.Errorf("there is a series of %s", labels)
		}
	}
	none := NewGateMetrics(GateMetricsOptions{Routes: []string{"/mcp"}})
	none.Exchanged("ok", 0)
	for name := range scrapeGate(t, none) {
		if strings.Contains(name, "exchange") {
			t.Errorf("%s of a gate that exchanges no tokens", name)
		}
	}
}

// A store that fails is seen, and none is no store that fails. What is shared
// has no number here.
func TestStoreOfSessionsIsThereOnlyIfGatesShareThem(t *testing.T) {
	wantSeries(t, scrapeGate(t, completeGate()), map[string]float64{`injectproxy_gate_session_store_up`: 0, `injectproxy_gate_session_store_failures_total`: 7})
	up := NewGateMetrics(GateMetricsOptions{Store: func() StoreState { return StoreState{Up: true} }, Sessions: func() int { return -1 }})
	got := scrapeGate(t, up)
	wantSeries(t, got, map[string]float64{`injectproxy_gate_session_store_up`: 1, `injectproxy_gate_session_store_failures_total`: 0})
	if n, ok := got[`injectproxy_gate_sessions_live`]; ok {
		t.Errorf("%v sessions are known", n)
	}
	if _, ok := scrapeGate(t, NewGateMetrics(GateMetricsOptions{}))[`injectproxy_gate_session_store_up`]; ok {
		t.Error("there is no store")
	}
}

func TestLineOfARequestToAGate(t *testing.T) {
	log, out := newLogger(t, "info", "text")
	GateLine(log, called(200, 0), 12345678*time.Nanosecond)
	const want = " msg=request route=/mcp method=POST path=/mcp remote=192.0.2.7 decision=allowed status=200 attempt=1 duration_ms=12.346 bytes=120 message=tools/call name=cost_export" +
		" tid=" + tenant + " oid=00000000-0000-0000-0000-0000000000aa client=00000000-0000-0000-0000-0000000000cc token=5f70bf18 upstream=127.0.0.1:9000\n"
	if _, got, _ := strings.Cut(out.String(), "level=INFO"); got != want {
		t.Errorf("got  %swant %s", got, want)
	}
	out.Reset()
	GateLine(log, &GateRequest{Route: "/mcp", Method: "POST", Path: "/mcp", Remote: "::1", Status: 403, Reason: "token", Exchange: "challenged", Problem: "The access token is not valid", Late: true, Lost: true}, 0)
	const denied = ` msg=request route=/mcp method=POST path=/mcp remote=::1 decision=denied status=403 attempt=0 duration_ms=0 bytes=0 reason=token exchange=challenged session=lost problem="The access token is not valid" late=true` + "\n"
	if _, got, _ := strings.Cut(out.String(), "level=INFO"); got != denied {
		t.Errorf("got  %swant %s", got, denied)
	}
	if log, out := newLogger(t, "warn", "text"); true {
		GateLine(log, called(200, 0), 0)
		if out.Len() > 0 {
			t.Errorf("logged below its level: %s", out)
		}
	}
}

// Whoever has no token could fill a disk with lines.
func TestLinesOfStrangersAreAtLevelDebug(t *testing.T) {
	for _, c := range []struct {
		r     GateRequest
		level string
	}{
		{GateRequest{Status: 401, Reason: "no-token"}, "DEBUG"},
		{GateRequest{Status: 401, Reason: "invalid-token", Invalid: "audience"}, "DEBUG"},
		{GateRequest{Status: 401, Reason: "scope", Object: "o"}, "INFO"}, // somebody
		{GateRequest{Status: 401, Allowed: true}, "INFO"},                // the server's own
		{GateRequest{Status: 403, Reason: "role"}, "INFO"},
		{GateRequest{Status: 503, Reason: "unverifiable"}, "INFO"},
		{GateRequest{}, "INFO"},
		{GateRequest{Route: NoRoute, Status: 421, Reason: "host"}, "DEBUG"},
	} {
		log, out := newLogger(t, "debug", "text")
		GateLine(log, &c.r, 0)
		if !strings.Contains(out.String(), "level="+c.level+" ") || c.r.Invalid != "" && !strings.Contains(out.String(), " invalid="+c.r.Invalid) {
			t.Errorf("%+v is logged as %s", c.r, out)
		}
		log, out = newLogger(t, "info", "text")
		if GateLine(log, &c.r, 0); (out.Len() > 0) != (c.level == "INFO") {
			t.Errorf("%+v: %s", c.r, out)
		}
	}
}

func TestDecisionsOfAGateHaveTheirWords(t *testing.T) {
	for want, r := range map[string]GateRequest{
		"allowed": {Allowed: true, Status: 504, Problem: "x"}, "denied": {Status: 403, Reason: "tool"}, "answered": {Status: 204},
	} {
		if got := r.Decision(); got != want {
			t.Errorf("%+v: %q, want %q", r, got, want)
		}
	}
	for _, r := range []GateRequest{{Status: 502, Problem: "x"}, {}} { // it cannot be told, or the client has left
		if got := r.Decision(); got != "denied" {
			t.Errorf("%+v: %q", r, got)
		}
	}
}

func TestGateAuditLineHasAllKeys(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	a, err := OpenAudit(file, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	r := called(200, 0)
	r.Name = "bearer eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJ4IjoxfQ.c2ln \"\n\x1b" // what a client says
	a.Gate(r, time.Second)
	a.Gate(&GateRequest{Start: time.Unix(1e9, 0), Route: "/mcp", Status: 401, Reason: "token"}, 0)
	a.Close(time.Minute)
	(*Audit)(nil).Gate(r, 0)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines: %s", len(lines), b)
	}
	keys := []string{"attempt", "bytes", "client", "decision", "duration_ms", "exchange", "invalid", "late", "message", "method", "name", "oid", "path", "problem",
		"reason", "remote", "route", "session", "status", "tid", "time", "token", "upstream"}
	for i, line := range lines {
		var got map[string]any
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatal(err)
		}
		if all := slices.Sorted(maps.Keys(got)); !slices.Equal(all, keys) {
			t.Errorf("keys %q", all)
		}
		if want := []string{"allowed", "denied"}[i]; got["decision"] != want || got["time"] != "2001-09-09T01:46:40Z" {
			t.Errorf("%s", line)
		}
	}
	if strings.Contains(lines[0], "eyJ") || !strings.Contains(lines[0], masked) {
		t.Errorf("a token in the place of a name is not masked: %s", lines[0])
	}
}

func TestGateMetricsPassPromtoolsLint(t *testing.T) {
	promtool := lookPromtool(t)
	cmd := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	w := httptest.NewRecorder()
	completeGate().Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	cmd.Stdin = w.Body
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestSpanOfARequestToAGate(t *testing.T) {
	c := newCollector(t)
	clearOTEL(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+c.URL)
	traces, err := OpenTraces(t.Context(), "v1", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	r := called(502, 0)
	r.Exchange, r.Problem, r.Name = "ok", "The MCP server cannot be reached", "Bearer abcdefghijklmnop0123456789"
	traces.GateBegan(r, http.Header{"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, "Authorization": {"Bearer x.y.z"}})
	traces.GateDone(r)
	(*Traces)(nil).GateBegan(r, nil)
	(*Traces)(nil).GateDone(r)
	if err := traces.Close(time.Minute); err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	span := c.spans["POST /mcp"]
	for key, want := range map[string]string{
		"http.route": "/mcp", "http.response.status_code": "502", "injectproxy.oid": r.Object, "injectproxy.decision": "allowed", "error.type": "502",
		"injectproxy.name": "Bearer " + masked, "injectproxy.exchange": "ok",
	} {
		if got := attributeOf(span, key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if got := span.GetParentSpanId(); string(got) != "\xb7\xad\x6b\x71\x69\x20\x33\x31" {
		t.Errorf("its parent is %x", got)
	}
}
