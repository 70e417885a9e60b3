//go:build unix

package main

import (
	"crypto/tls"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/gate"
	"github.com/injectproxy/injectproxy/internal/telemetry"
)

func TestGateIsReadyOnceItsKeysWereLoadedAndThenServesWhoShowsAToken(t *testing.T) {
	t.Parallel()
	w := newGateWorld(t, `drain = "0s"`, `scopes = ["access_as_user"]`)
	w.entra.Down()
	d := w.start()
	c := w.client(d.addr)
	call(t, c, "GET", gateURL+"/healthz", nil).wantStatus(t, http.StatusOK)
	call(t, c, "GET", gateURL+"/readyz", nil).wantStatus(t, http.StatusServiceUnavailable)
	call(t, bearing(c, w.user("access_as_user")), "GET", gateURL+"/mcp", nil).wantStatus(t, http.StatusServiceUnavailable)
	w.entra.Up()
	w.ready(d.addr)

	r := call(t, c, "POST", gateURL+"/mcp", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"ping"}`), "Content-Type", "application/json")
	r.wantStatus(t, http.StatusUnauthorized)
	if got := r.header.Get("WWW-Authenticate"); !strings.Contains(got, `resource_metadata="`+gateURL+`/.well-known/oauth-protected-resource/mcp"`) || !strings.Contains(got, `scope="api://`+apiOne+`/access_as_user"`) {
		t.Errorf("WWW-Authenticate: %s", got)
	}
	if len(w.sent()) > 0 {
		t.Error("the server was asked by somebody without a token")
	}
	s := connectGate(t, bearing(c, w.user("access_as_user")))
	if got := says(t, s, "echo"); got != "served" {
		t.Errorf("echo: %s", got)
	}
	for _, h := range w.sent() {
		if h["Authorization"] != nil {
			t.Error("the server was shown a token")
		}
	}
	must(t, s.Close())
	d.signal(syscall.SIGTERM)
	if status := d.stopped(); status != 0 {
		t.Errorf("exit status %d:\n%s", status, d.log)
	}
}

// gatePage is the URL of the page of d.
func gatePage(t testing.TB, d *daemon) string {
	t.Helper()
	return regexp.MustCompile(`page=(\S+)`).FindStringSubmatch(d.log.wait(t, "msg=status"))[1]
}

// gateLine is a line of a gate's audit file.
type gateLine struct {
	Time                                                 time.Time
	Route, Method, Path, Decision, Reason, Message, Name string
	Tid, Oid, Client, Token, Upstream, Session, Problem  string
	Remote, Invalid, Exchange                            string
	Status, Attempt                                      int
	Late                                                 bool
}

func gateLines(t testing.TB, text string) (lines []gateLine) {
	t.Helper()
	for line := range strings.Lines(text) {
		var l gateLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		lines = append(lines, l)
	}
	return lines
}

func TestGateAuditLineNamesTheCallerTheToolAndTheDecision(t *testing.T) {
	t.Parallel()
	w := newGateWorld(t, "drain = \"0s\"\n[log]\naudit = \"audit.jsonl\"", `scopes = ["access_as_user"]`)
	d := w.start()
	w.ready(d.addr)
	c := w.client(d.addr)
	s := connectGate(t, bearing(c, w.user("access_as_user")))
	if got := says(t, s, "echo"); got != "served" {
		t.Errorf("echo: %s", got)
	}
	if got := says(t, s, "export"); !strings.Contains(got, "cost.export") && !strings.Contains(got, "insufficient_scope") && !strings.Contains(got, "orbidden") {
		t.Errorf("export: %s", got)
	}
	call(t, c, "GET", gateURL+"/elsewhere", nil).wantStatus(t, http.StatusNotFound) // fills no disk
	call(t, bearing(c, "a.b.c"), "GET", gateURL+"/mcp", nil, "X-Forwarded-For", "203.0.113.9").wantStatus(t, http.StatusUnauthorized)
	call(t, c, "POST", gateURL+"/mcp?secret=query", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo"}}`), "Content-Type", "application/json")
	must(t, s.Close())
	d.signal(syscall.SIGTERM)
	if status := d.stopped(); status != 0 {
		t.Errorf("exit status %d:\n%s", status, d.log)
	}
	text := w.read("audit.jsonl")
	if strings.Contains(text, "secret") {
		t.Error("a query is audited")
	}
	var echoed, denied, strange, forged bool
	for _, l := range gateLines(t, text) {
		switch known := l.Tid == testTenant && l.Oid == testUser && l.Client == testClient && len(l.Token) == 8; {
		case l.Route != "/mcp" || l.Path != "/mcp" || l.Time.IsZero() || l.Remote != "127.0.0.1":
			t.Errorf("%+v", l)
		case l.Name == "echo":
			echoed = known && l.Message == "tools/call" && l.Decision == "allowed" && l.Status == 200 && l.Attempt == 1 && "http://"+l.Upstream == w.upstream.URL
		case l.Name == "export":
			denied = known && l.Message == "tools/call" && l.Decision == "denied" && l.Reason == "scope" && l.Status == 403 && l.Attempt == 0 && l.Problem != ""
		case l.Token == "" && l.Method == "GET":
			forged = l.Oid == "" && l.Decision == "denied" && l.Reason == "invalid-token" && l.Invalid == "malformed" && l.Status == 401
		case l.Oid == "":
			strange = l.Tid == "" && l.Decision == "denied" && l.Reason == "no-token" && l.Invalid == "" && l.Status == 401
		}
	}
	if !echoed || !denied || !strange || !forged {
		t.Errorf("echoed %v, denied %v, strange %v, forged %v:\n%s", echoed, denied, strange, forged, text)
	}
	if info, err := os.Stat(filepath.Join(w.home, "audit.jsonl")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

func TestPageOfAGateNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	now := time.Unix(2e9, 0)
	texts := func(list []statusProblem) (all []string) {
		for _, p := range list {
			if p.Hint == "" {
				t.Errorf("%+v has no remedy", p)
			}
			all = append(all, p.Level+" "+p.About+": "+p.Text)
		}
		return all
	}
	for _, tt := range []struct {
		got  []statusProblem
		want []string
	}{
		{keyProblems([]statusKeys{{Tenant: "a", Held: 1}, {Tenant: "b", Problem: "no answer"}, {Tenant: "c", Held: 2, Problem: "HTTP 500"}}), []string{
			"error keys: the keys of tenant b cannot be had, so that none of its tokens is accepted: no answer",
			"warning keys: the keys of tenant c cannot be renewed: HTTP 500; those at hand serve for a day"}},
		{upstreamProblems([]gate.UpstreamState{{Route: "/mcp", Host: "a:1", Failed: now.Add(-time.Minute)}, {Host: "b:1"}, {Host: "c:1", Failed: now.Add(-time.Hour)}}, now),
			[]string{"error upstream: a:1 of route /mcp could not be reached 1m0s ago"}},
		{certificateProblems(time.Time{}, now), nil},
		{certificateProblems(now.Add(49*time.Hour), now), nil},
		{certificateProblems(now.Add(24*time.Hour), now), []string{"warning certificate: the certificate ends in 24h0m0s"}},
		{certificateProblems(now.Add(-time.Minute), now), []string{"error certificate: the certificate has ended 1m0s ago, so that no client gets in"}},
	} {
		if got := texts(tt.got); !slices.Equal(got, tt.want) {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

// A token, valid or not, and the id of a session are in nothing that the gate
// says, however much it is asked to say.
func TestNoTokenIsInWhatAGateSays(t *testing.T) {
	t.Parallel()
	w := newGateWorld(t, "drain = \"0s\"\n[log]\naudit = \"audit.jsonl\"\n[admin]\nlisten = \"127.0.0.1:"+freePort(t)+"\"", `scopes = ["access_as_user"]`)
	d := w.start("--log-level", "debug")
	w.ready(d.addr)
	c := w.client(d.addr)
	good, late := w.user("access_as_user"), "cnry+forged/7f3a~9c51"
	forged := good[:strings.LastIndex(good, ".")+1] + "Y25yeS1mb3JnZWQ"
	s := connectGate(t, bearing(c, good))
	says(t, s, "echo")
	says(t, s, "export")
	said := ""
	ask := func(c *http.Client, path string, header ...string) {
		t.Helper()
		r := call(t, c, "POST", gateURL+path, strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"export","arguments":{"x":"cnry+argument/1b2c~3d4e"}}}`),
			append(header, "Content-Type", "application/json")...)
		said += r.body + strings.Join(r.header.Values("WWW-Authenticate"), "")
	}
	ask(bearing(c, good), "/mcp")
	ask(bearing(c, forged), "/mcp")
	ask(c, "/mcp", "Authorization", "Bearer "+late)
	ask(c, "/mcp", "Authorization", "Basic "+late)
	ask(c, "/mcp?access_token="+good)
	ask(bearing(c, good), "/mcp", "Mcp-Session-Id", "cnry+session/5d6e~7f80")
	page := gatePage(t, d)
	for _, path := range []string{"metrics", "status.json"} {
		said += call(t, http.DefaultClient, "GET", page+path, nil).body
	}
	status, code := runToEnd(t, w.home, nil, "status", "--address", strings.TrimSuffix(strings.TrimPrefix(page, "http://"), "/"))
	if code != 0 || !strings.Contains(status, "/mcp") || !strings.Contains(status, testTenant) || !strings.Contains(status, "no-token") {
		t.Errorf("exit status %d:\n%s", code, status)
	}
	if own, code := runToEnd(t, w.home, nil, "status"); code != 0 || !strings.Contains(own, gateURL) { // by gate.toml: there is no config.toml
		t.Errorf("exit status %d:\n%s", code, own)
	}
	id := s.ID()
	must(t, s.Close())
	d.signal(syscall.SIGTERM)
	d.stopped()
	secrets := map[string]string{
		"token": good, "signature": good[strings.LastIndex(good, ".")+1:], "payload": strings.Split(good, ".")[1], "forged": "Y25yeS1mb3JnZWQ",
		"malformed": late, "argument": "cnry+argument/1b2c~3d4e", "session": "cnry+session/5d6e~7f80", "own session": id,
	}
	for where, text := range map[string]string{"answers": said, "status": status, "log": d.log.String(), "audit": w.read("audit.jsonl")} {
		if found := leaks(text, secrets); found != nil {
			t.Errorf("%s: %q in\n%s", where, found, text)
		}
	}
}

func TestGateCountsFromZeroAndTellsItsStatus(t *testing.T) {
	t.Parallel()
	w := newGateWorld(t, "drain = \"0s\"\n[admin]\nlisten = \"127.0.0.1:"+freePort(t)+"\"", `scopes = ["access_as_user"]`)
	w.entra.Down()
	d := w.start()
	page := gatePage(t, d)
	read := func() map[string]float64 {
		t.Helper()
		return readSeries(t, call(t, http.DefaultClient, "GET", page+"metrics", nil).body)
	}
	wantMetrics(t, read(), map[string]float64{
		`gate_ready`: 0, `gate_sessions_live`: 0, `gate_keys_held{tenant="` + testTenant + `"}`: 0,
		`gate_requests_total{code="2xx",route="/mcp"}`: 0, `gate_denials_total{reason="scope",route="/mcp"}`: 0,
		`gate_denials_total{reason="no-token",route="/mcp"}`: 0, `gate_accepted_total{route="/mcp"}`: 0, `gate_timeouts_total{route="/mcp"}`: 0,
	})
	call(t, http.DefaultClient, "GET", page+"healthz", nil).wantStatus(t, http.StatusOK)
	if r := call(t, http.DefaultClient, "GET", page+"readyz", nil); r.status != http.StatusServiceUnavailable || r.body != "not ready\n" {
		t.Errorf("/readyz: %d %s", r.status, r.body)
	}
	w.entra.Up()
	w.ready(d.addr)
	call(t, http.DefaultClient, "GET", page+"readyz", nil).wantStatus(t, http.StatusOK)
	c := w.client(d.addr)
	call(t, c, "GET", gateURL+"/elsewhere", nil).wantStatus(t, http.StatusNotFound)
	call(t, c, "POST", gateURL+"/mcp", strings.NewReader("{}")).wantStatus(t, http.StatusUnauthorized)
	s := connectGate(t, bearing(c, w.user("access_as_user")))
	says(t, s, "echo")
	says(t, s, "export")
	must(t, s.Close())
	d.log.wait(t, "msg=request", "method=DELETE")
	d.log.wait(t, "msg=request", "method=GET") // the stream ends with the session
	soon(t, "requests stay in flight", func() bool { return read()[`gate_requests_in_flight{route="/mcp"}`] == 0 })
	got := read()
	wantMetrics(t, got, map[string]float64{
		`gate_ready`: 1, `gate_keys_held{tenant="` + testTenant + `"}`: 1, `gate_denials_total{reason="scope",route="/mcp"}`: 1,
		`gate_denials_total{reason="path",route="none"}`: 1, `gate_requests_total{code="4xx",route="none"}`: 1, `gate_requests_in_flight{route="none"}`: 0,
		`gate_denials_total{reason="no-token",route="/mcp"}`: 1, `gate_requests_in_flight{route="/mcp"}`: 0, `gate_streams_open{route="/mcp"}`: 0,
	})
	if got[`gate_accepted_total{route="/mcp"}`] < 4 || got[`gate_requests_total{code="2xx",route="/mcp"}`] < 3 {
		t.Errorf("%v", got)
	}

	var report fullReport
	must(t, json.Unmarshal([]byte(call(t, http.DefaultClient, "GET", page+"status.json", nil).body), &report))
	g := report.Gate
	if g == nil || g.URL != gateURL || !report.Ready || len(g.Keys) != 1 || g.Keys[0].Held != 1 || len(g.Routes) != 1 || len(g.Denials) != 3 {
		t.Fatalf("%+v\n%+v", report, g)
	}
	if len(report.Problems) != 1 || report.Problems[0].About != "certificate" { // which lives for a day
		t.Errorf("%+v", report.Problems)
	}
	if r := g.Routes[0]; r.Path != "/mcp" || r.Mode != "strict" || r.Default != "deny" || r.Patterns != 3 || r.Requests < 5 || r.Failures != 2 {
		t.Errorf("%+v", r)
	}
	if d := g.Denials[0]; d.Reason != "scope" || d.Count != 1 || d.Name != "export" {
		t.Errorf("%+v", d)
	}
	if !slices.ContainsFunc(report.Recent, func(q liveRequest) bool {
		return q.Name == "echo" && q.Message == "tools/call" && q.Caller == testUser && q.Tenant == testTenant && q.Decision == "allowed" && q.Status == 200
	}) {
		t.Errorf("%+v", report.Recent)
	}
	if left := time.Until(time.Unix(int64(got[`gate_certificate_expiry_timestamp_seconds`]), 0)); left < time.Hour || left > 25*time.Hour {
		t.Errorf("the certificate ends in %s", left)
	}
	if len(report.Plots.Recent.Rules) != 2 || report.Plots.Recent.Rules[1].Name != "/mcp" {
		t.Errorf("%+v", report.Plots.Recent.Rules)
	}
}

func TestGateServesAReplacedCertificate(t *testing.T) {
	t.Parallel()
	w := newGateWorld(t, `drain = "0s"`, "")
	d := w.start()
	serial := func() string {
		t.Helper()
		trust := w.client(d.addr).Transport.(*http.Transport).TLSClientConfig.Clone()
		trust.ServerName = gateHost
		conn, err := tls.Dial("tcp", d.addr, trust)
		if err != nil {
			return ""
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	before := serial()
	if before == "" {
		t.Fatal("there is no certificate")
	}
	w.certify()
	soon(t, "the certificate stays", func() bool { s := serial(); return s != "" && s != before })
}

func TestGateSaysThatItsAddressIsInUse(t *testing.T) {
	t.Parallel()
	w := newGateWorld(t, `drain = "0s"`, "")
	d := w.start()
	out, status := runToEnd(t, w.home, nil, "gate", "--listen", d.addr)
	if status != 1 || lineWith(out, "error: "+d.addr+" is in use") == "" || lineWith(out, "hint: ", "--listen") == "" {
		t.Errorf("exit status %d:\n%s", status, out)
	}
}

// fullTable is a listener of a process that has no file descriptor left, once.
type fullTable struct {
	net.Listener
	said bool
}

// Accept implements [net.Listener].
func (l *fullTable) Accept() (net.Conn, error) {
	if !l.said {
		l.said = true
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return l.Listener.Accept()
}

func TestGateThatCannotAcceptSaysSo(t *testing.T) {
	t.Parallel()
	w := newGateWorld(t, `drain = "0s"`, "")
	cfg, problems := config.LoadGate(filepath.Join(w.home, "gate.toml"))
	if cfg == nil {
		t.Fatal(problems)
	}
	said := new(eventLog)
	log, err := telemetry.NewLogger(said, "info", "text")
	must(t, err)
	g, err := buildGate(cfg, surroundings{log: log})
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	served := make(chan error, 1)
	go func() { served <- g.Serve(&fullTable{Listener: l}) }()
	said.wait(t, "level=WARN", "too many open files", "library=net/http")
	g.Shutdown(canceled())
	<-served
}

func TestHangUpOpensTheAuditFileOfAGateAgain(t *testing.T) {
	t.Parallel()
	w := newGateWorld(t, "drain = \"0s\"\n[log]\naudit = \"audit.jsonl\"", "")
	d := w.start()
	must(t, os.Rename(filepath.Join(w.home, "audit.jsonl"), filepath.Join(w.home, "old.jsonl")))
	d.signal(syscall.SIGHUP)
	d.log.wait(t, "the audit file was opened again")
	call(t, w.client(d.addr), "GET", gateURL+"/mcp", nil).wantStatus(t, http.StatusUnauthorized)
	d.signal(os.Interrupt)
	if status := d.stopped(); status != 0 || w.read("old.jsonl") != "" || len(gateLines(t, w.read("audit.jsonl"))) != 1 {
		t.Errorf("exit status %d, %s", status, w.read("audit.jsonl"))
	}
}

func TestStatusOfAGateIsAskedWhereItsFileSays(t *testing.T) {
	t.Parallel()
	at := func(listen string) *config.Gate { return &config.Gate{Admin: config.Admin{Listen: listen}} }
	for want, g := range map[string]*config.Gate{config.DefaultGateAdmin: nil, "127.0.0.1:1": at("127.0.0.1:1"), "": at("")} {
		got, err := gateAddress(g)
		if got != want || (err != nil) != (want == "") || err != nil && !strings.Contains(err.Error(), "gate.toml") {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
}
