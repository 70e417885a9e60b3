package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/telemetry"
)

// series returns what the instance shows to a scrape: each series of ours, with
// its labels in the order of their names.
func (in *instance) series(t testing.TB) map[string]float64 {
	t.Helper()
	w := httptest.NewRecorder()
	in.watch.metrics.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return readSeries(t, w.Body.String())
}

func readSeries(t testing.TB, text string) map[string]float64 {
	t.Helper()
	all := map[string]float64{}
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "injectproxy_") {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		v, err := strconv.ParseFloat(strings.TrimSpace(line[at:]), 64)
		must(t, err)
		all[strings.TrimPrefix(line[:at], "injectproxy_")] = v
	}
	return all
}

// ended returns once so many requests have ended, and all has been told of them.
func (b *testbed) ended(n int) {
	b.t.Helper()
	b.log.until(b.t, func(text string) bool { return strings.Count(text, "msg=request ") >= n }, fmt.Sprint(n, " requests"), nil)
}

func wantMetrics(t testing.TB, got, want map[string]float64) {
	t.Helper()
	for name, v := range want {
		if g, ok := got[name]; !ok || g != v {
			t.Errorf("%s is %v (there: %v), want %v", name, g, ok, v)
		}
	}
}

// auditLine is a line of the audit file.
type auditLine struct {
	Time                                           time.Time
	Team, Rule, Kind, Method, Authority, Path      string
	Status, Attempt                                int
	Source, Token, Client, Retry, Session, Problem string
	Duration                                       float64 `json:"duration_ms"`
	Bytes                                          int64
}

// auditLines returns what is in the file, each line of which has to be whole.
func auditLines(t testing.TB, name string) (lines []auditLine) {
	t.Helper()
	b, err := os.ReadFile(name)
	must(t, err)
	for text := range strings.Lines(string(b)) {
		var l auditLine
		if err := json.Unmarshal([]byte(text), &l); err != nil || !strings.HasSuffix(text, "\n") {
			t.Errorf("torn line %q: %v", text, err)
		}
		lines = append(lines, l)
	}
	return lines
}

// audited has the testbed write an audit file, whose lines are all there once
// it is ended.
func audited(t testing.TB) (change func(*config.Config, *surroundings), file string, end func()) {
	file = filepath.Join(t.TempDir(), "audit.jsonl")
	var a *telemetry.Audit
	end = func() { a.Close(guard) }
	t.Cleanup(end)
	return func(_ *config.Config, s *surroundings) {
		var err error
		a, err = telemetry.OpenAudit(file, slog.New(slog.DiscardHandler))
		must(t, err)
		s.audit = a
	}, file, end
}

// capricious is an MCP server that does with its sessions what it is told to.
type capricious struct {
	mu       sync.Mutex
	sessions map[string]bool
	begun    int
	symptom  int           // the status that a lost session has
	broken   bool          // no session can be begun
	hang     chan struct{} // who calls slow waits for it
	legs     chan struct{} // receives for each GET, which ends at once if cut
	cut      bool
}

func (c *capricious) forget(symptom int, broken bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.sessions)
	c.symptom, c.broken = symptom, broken
}

func (c *capricious) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var m struct {
		ID     json.RawMessage
		Method string
	}
	json.Unmarshal(body, &m)
	c.mu.Lock()
	known, broken, symptom := c.sessions[r.Header.Get("Mcp-Session-Id")], c.broken, c.symptom
	c.mu.Unlock()
	switch {
	case m.Method == "initialize" && broken:
		http.Error(w, "out of order", http.StatusServiceUnavailable)
	case m.Method == "initialize":
		c.mu.Lock()
		c.begun++
		id := fmt.Sprintf("secret-session-%d", c.begun)
		c.sessions[id] = true
		c.mu.Unlock()
		w.Header().Set("Mcp-Session-Id", id)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"x","version":"1"}}}`, m.ID)
	case !known:
		http.Error(w, "Bad Request: No valid session ID provided", symptom)
	case r.Method == "GET":
		c.stream(w, r)
	case r.Method == "DELETE":
		c.forget(404, false)
	case m.ID == nil:
		w.WriteHeader(http.StatusAccepted)
	case strings.Contains(string(body), "slow"):
		<-c.hang
	default:
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{}}`, m.ID)
	}
}

// stream opens an event stream. The first ends at once.
func (c *capricious) stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	io.WriteString(w, ": open\n\n")
	http.NewResponseController(w).Flush()
	c.mu.Lock()
	first := !c.cut
	c.cut = true
	c.mu.Unlock()
	c.legs <- struct{}{}
	if !first {
		<-r.Context().Done()
	}
}

// mcpClient is a client in one session.
type mcpClient struct {
	t       testing.TB
	c       *http.Client
	url     string
	session string
}

func (m *mcpClient) send(method, body string) reply {
	m.t.Helper()
	return call(m.t, m.c, method, m.url, strings.NewReader(body), "Content-Type", "application/json", "Accept", streamable,
		"Mcp-Session-Id", m.session, "Mcp-Protocol-Version", "2025-06-18")
}

const initialize = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`

// Everything that happens to a session is in the metrics, in the audit file and
// in the log, none of which has its id.
func TestEverySessionEventIsCountedAndAudited(t *testing.T) {
	t.Parallel()
	s := &capricious{sessions: map[string]bool{}, symptom: 404, hang: make(chan struct{}), legs: make(chan struct{}, 9)}
	root := newLive(t, "h2", s.ServeHTTP)
	defer close(s.hang)
	audit, file, end := audited(t)
	b := newTestbed(t, settings{
		tables: "[session]\ncooldown = \"1h\"\n" + fileAudiences + mcpRule(root+"/mcp", `name = "tools"`) +
			mcpRule(root+"/slow", `name = "slow"`, `timeout = "100ms"`),
		files: tokenFiles,
	}, audit)
	m := &mcpClient{t: t, c: b.client("h2"), url: root + "/mcp"}
	begin := func(at string) *mcpClient {
		r := post(t, m.c, root+at, initialize)
		r.wantStatus(t, 200)
		return &mcpClient{t, m.c, root + at, r.header.Get("Mcp-Session-Id")}
	}
	m = begin("/mcp")
	requests := 1
	step := func(name string, status int, method, body string) {
		t.Helper()
		b.ended(requests) // in the order in which they are audited
		requests++
		if r := m.send(method, body); r.status != status {
			t.Errorf("%s: status %d: %s", name, r.status, r.body)
		}
	}
	step("lives", 200, "POST", callTool("1"))
	another := func() { // what was healed a moment ago rests
		b.ended(requests)
		requests++
		m = begin("/mcp")
	}
	s.forget(404, false)
	step("lost by 404", 200, "POST", callTool("2"))
	another()
	s.forget(400, false)
	step("lost by 400", 200, "POST", callTool("3"))
	another()
	s.forget(404, false)
	step("of the lost one", 202, "POST", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":3}}`)
	step("healed anyway", 200, "POST", callTool("4"))

	req, err := http.NewRequestWithContext(t.Context(), "GET", m.url, nil)
	must(t, err)
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Mcp-Session-Id", m.session)
	stream, err := m.c.Do(req)
	must(t, err)
	<-s.legs
	<-s.legs // opened again
	b.log.wait(t, "session: reopened")
	wantMetrics(t, b.series(t), map[string]float64{
		`streams_open{rule="tools",team=""}`: 1, `requests_in_flight{rule="tools",team=""}`: 1, `sessions_live`: 3, `session_streams_held`: 1,
	})
	stream.Body.Close()
	b.log.wait(t, "msg=request", "method=GET")
	requests++

	slow := begin("/slow")
	if r := slow.send("POST", `{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"slow"}}`); r.status != 504 {
		t.Errorf("slow: status %d: %s", r.status, r.body)
	}
	b.ended(requests + 2)
	slow.send("DELETE", "").wantStatus(t, 200)
	requests += 3

	another()
	s.forget(404, true)
	step("cannot be healed", 404, "POST", callTool("6"))
	step("cools down", 404, "POST", callTool("7"))
	b.ended(requests)

	const of = `{rule="tools",team=""}`
	wantMetrics(t, b.series(t), map[string]float64{
		`session_accepted_total` + of: 4, `session_accepted_total{rule="slow",team=""}`: 1,
		`session_lost_total{rule="tools",symptom="404",team=""}`: 3, `session_lost_total{rule="tools",symptom="400",team=""}`: 1,
		`session_healed_total` + of: 3, `session_replayed_total` + of: 3, `session_dropped_total` + of: 1,
		`session_streams_reopened_total` + of:                                  1,
		`session_recovery_failed_total{reason="refused",rule="tools",team=""}`: 1,
		`session_suppressed_total` + of:                                        1,
		`session_timed_out_total{rule="slow",team=""}`:                         1,
		`session_ended_total{rule="slow",team=""}`:                             1,
		`session_recovery_duration_seconds_count` + of:                         4,
		`requests_total{code="2xx",kind="mcp",rule="tools",team=""}`:           10,
		`requests_total{code="4xx",kind="mcp",rule="tools",team=""}`:           2,
		`requests_total{code="5xx",kind="mcp",rule="slow",team=""}`:            1,
		`streams_open` + of: 0,
		`own_answers_total{problem="The upstream did not answer in time",rule="slow",team=""}`: 1,
	})
	var got []string
	end()
	for _, l := range auditLines(t, file) {
		got = append(got, fmt.Sprintf("%s %s %d %s", l.Rule, l.Method, l.Status, l.Session))
		if l.Kind != "mcp" || l.Source != "token_file" || len(l.Token) != 8 || l.Time.IsZero() || l.Attempt < 1 {
			t.Errorf("line %+v", l)
		}
	}
	want := []string{
		"tools POST 200 ", "tools POST 200 ", "tools POST 200 healed", "tools POST 200 ", "tools POST 200 healed", "tools POST 200 ", "tools POST 202 dropped", "tools POST 200 healed", "tools GET 200 ",
		"slow POST 200 ", "slow POST 504 timed out", "slow DELETE 200 ", "tools POST 200 ", "tools POST 404 failed: refused", "tools POST 404 suppressed",
	}
	if !slices.Equal(got, want) {
		t.Errorf("audited\n%q, want\n%q", got, want)
	}
	for _, parts := range [][]string{
		{"level=INFO", "the server has lost a session", "symptom=404", "rule=tools"}, {"level=INFO", "another session stands in its place", "took_ms="},
		{"level=WARN", "could not be replaced", "reason=refused"}, {"msg=request", `session="failed: refused"`},
	} {
		b.log.wait(t, parts...)
	}
	raw, _ := os.ReadFile(file)
	if strings.Contains(b.log.String()+string(raw), "secret-session") || strings.Contains(b.log.String()+string(raw), tokenA) {
		t.Error("a session's id or a token is told")
	}
}

// expiring is a token that says when it ends.
func expiring(at time.Time) string {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	return part(`{"alg":"none"}`) + "." + part(fmt.Sprintf(`{"exp":%d}`, at.Unix())) + ".x"
}

// Tokens, refusals, tunnels, requests under no rule and answers of our own are
// counted, and a change of the configuration moves the metrics along.
func TestTokensRetriesAndTunnelsAreCounted(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", func(w http.ResponseWriter, s sighting) {
		if s.target == "/v1/refused" {
			challenge(w)
		}
	}, "api.example.test", "other.example.test")
	plain := newOrigin(t, "h1", nil, "plain.example.test")
	audit, file, end := audited(t)
	tables := "[audience.none]\ntoken_file = \"absent.token\"\n" + fileAudiences + rule(o.url("/v1/"), `name = "api"`) +
		strings.Replace(rule(o.url("/none/"), `name = "none"`, `kind = "llm"`), `"a"`, `"none"`, 1)
	s := settings{tables: tables, files: map[string]string{"a.token": expiring(time.Now().Add(time.Hour)), "b.token": tokenB}}
	b := newTestbed(t, s, audit)
	wantMetrics(t, b.series(t), map[string]float64{
		`requests_total{code="2xx",kind="http",rule="api",team=""}`: 0, `retries_total{outcome="same token",rule="api",team=""}`: 0,
		`token_acquisitions_total{audience="a",result="ok",source="token_file",team=""}`: 0, `token_held{audience="a",team=""}`: 0,
		`token_acquisitions_total{audience="none",result="sign-in needed",source="token_file",team=""}`: 0,
	})
	wantMetrics(t, b.series(t), map[string]float64{fmt.Sprintf(`build_info{goversion=%q,version=%q}`, runtime.Version(), bareVersion()): 1})
	if v := bareVersion(); v == "" || strings.ContainsAny(v, " \t") || !strings.Contains(version(), " "+v+" ") {
		t.Errorf("the bare version is %q", v)
	}
	c := b.client("h1")
	call(t, c, "GET", o.url("/v1/x?code=secret-query"), nil).wantStatus(t, 200)
	b.ended(1)
	call(t, c, "GET", o.url("/v1/refused"), nil).wantStatus(t, 401)
	b.ended(2)
	call(t, c, "GET", o.url("/none/x"), nil).problem(t, 502)
	b.ended(3)
	call(t, c, "GET", o.url("/elsewhere"), nil).wantStatus(t, 200)
	b.ended(4)
	call(t, c, "GET", plain.url("/x"), nil).wantStatus(t, 200)
	c.CloseIdleConnections() // and with them the tunnel
	if _, err := trySend(c, httptestRequest(t, "https://unknown.invalid/")); err == nil {
		t.Error("what is not there was reached")
	}
	var got map[string]float64
	for late := time.Now().Add(guard); ; { // the tunnel ends in its own time
		if got = b.series(t); got[`tunnels_open`] == 0 || time.Now().After(late) {
			break
		}
	}
	wantMetrics(t, got, map[string]float64{
		`requests_total{code="2xx",kind="http",rule="api",team=""}`: 1, `requests_total{code="4xx",kind="http",rule="api",team=""}`: 1,
		`requests_total{code="5xx",kind="llm",rule="none",team=""}`: 1, `requests_total{code="2xx",kind="",rule="",team=""}`: 1,
		`retries_total{outcome="same token",rule="api",team=""}`:                                       1,
		`token_acquisitions_total{audience="a",result="ok",source="token_file",team=""}`:               1,
		`token_acquisitions_total{audience="a",result="same",source="token_file",team=""}`:             1,
		`token_acquisitions_total{audience="none",result="misconfigured",source="token_file",team=""}`: 1,
		`token_trouble{audience="none",class="misconfigured",team=""}`:                                 1,
		`token_held{audience="a",team=""}`:                                                             1,
		`own_answers_total{problem="No token could be had for this request",rule="none",team=""}`:      1,
		`tunnels_total{result="made"}`:                                                                 1,
		`tunnels_total{result="refused"}`:                                                              1,
		`tunnels_open`:                                                                                 0,
		`audit_errors_total`:                                                                           0,
		`audit_lines_lost_total`:                                                                       0,
		`teams_off`:                                                                                    0,
	})
	if left := got[`token_expiry_seconds{audience="a",team=""}`]; left < 3500 || left > 3600 {
		t.Errorf("%v s left of an hour", left)
	}
	if got[`tunnel_bytes_total{direction="up"}`] == 0 || got[`tunnel_bytes_total{direction="down"}`] == 0 || got[`ca_expiry_timestamp_seconds`] == 0 || got[`config_in_use_timestamp_seconds`] == 0 {
		t.Errorf("%v", got)
	}
	end()
	if lines := auditLines(t, file); len(lines) != 4 || lines[1].Retry != "same token" || lines[2].Problem == "" || lines[3].Rule != "" || lines[0].Path != "/v1/x" {
		t.Errorf("%+v", lines)
	}

	s.tables = strings.Replace(tables, `name = "none"`, `name = "renamed"`, 1)
	cfg, problems := config.Load(s.write(t, b.dir))
	if cfg == nil {
		t.Fatal(problems)
	}
	must(t, b.takeOver(cfg))
	after := b.series(t)
	wantMetrics(t, after, map[string]float64{
		`requests_total{code="2xx",kind="http",rule="api",team=""}`: 1, `requests_total{code="5xx",kind="llm",rule="renamed",team=""}`: 0,
	})
	for name := range after {
		if strings.Contains(name, `rule="none"`) {
			t.Errorf("%s, of a rule that is gone", name)
		}
	}
}

func httptestRequest(t testing.TB, url string) *http.Request {
	req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	must(t, err)
	return req
}

// Ten thousand hosts, paths and names make no more series than one.
func TestClientsCannotMakeMetricsGrow(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	b := newTestbed(t, settings{tables: fileAudiences + rule(o.url("/v1/"), `name = "api"`), files: tokenFiles})
	c := b.client("h2")
	call(t, c, "GET", o.url("/v1/x"), nil)
	call(t, c, "GET", o.url("/x"), nil)
	b.ended(2)
	before := len(b.series(t))
	var load sync.WaitGroup
	for w := range 8 {
		load.Go(func() {
			for i := range 125 {
				for _, prefix := range []string{"/v1/", "/"} {
					req, err := http.NewRequestWithContext(t.Context(), fmt.Sprintf("M%d", i), o.url(fmt.Sprintf("%s%d/%d", prefix, w, i)), nil)
					if err != nil {
						t.Error(err)
						return
					}
					req.Header.Set("User-Agent", fmt.Sprint("agent-", i))
					if r, err := trySend(c, req); err != nil || r.status != 200 {
						t.Errorf("%d %v", r.status, err)
					}
				}
			}
		})
	}
	for range 20 { // scrapes under load
		b.series(t)
	}
	load.Wait()
	b.ended(2002)
	got := b.series(t)
	if len(got) != before {
		t.Errorf("%d series before, %d after", before, len(got))
	}
	wantMetrics(t, got, map[string]float64{
		`requests_total{code="2xx",kind="http",rule="api",team=""}`: 1001, `requests_total{code="2xx",kind="",rule="",team=""}`: 1001,
		`requests_in_flight{rule="api",team=""}`: 0,
	})
}
