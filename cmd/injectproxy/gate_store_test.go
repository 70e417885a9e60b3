//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/telemetry"
)

// talkative is a Redis that knows no command, and repeats what it was told, as
// those before version 6 do with the password of HELLO.
func talkative(t testing.TB) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			repeatAll(c)
		}
	}()
	t.Cleanup(func() { l.Close(); <-served })
	return l.Addr().String()
}

// repeatAll answers each piece that comes over c by an error which has it, until
// the client leaves.
func repeatAll(c net.Conn) {
	defer c.Close()
	b := make([]byte, 4<<10)
	for {
		n, err := c.Read(b)
		if err != nil {
			return
		}
		fmt.Fprintf(c, "-ERR unknown command, with args beginning with: %q\r\n", b[:n])
	}
}

// A gate whose Redis does not answer begins, is ready, and says so; requests of a
// session are refused, and nobody learns the password.
func TestGateWhoseRedisIsAwayServesTheRestAndSaysSo(t *testing.T) {
	t.Parallel()
	const password = "cnry+redis/7f3a~9c51"
	w := newGateWorld(t, "drain = \"0s\"\n[redis]\nurl = \"redis://gate@"+talkative(t)+"/0\"\npassword_file = \"redis.secret\"\n[log]\naudit = \"audit.jsonl\"\n"+
		"[admin]\nlisten = \"127.0.0.1:"+freePort(t)+"\"", `scopes = ["access_as_user"]`)
	writeTestFile(t, filepath.Join(w.home, "redis.secret"), password+"\n")
	d := w.start("--log-level", "debug")
	w.ready(d.addr)
	d.log.wait(t, "level=WARN", "Redis")
	c := bearing(w.client(d.addr), w.user("access_as_user"))
	ask := func(header ...string) reply {
		t.Helper()
		return call(t, c, "POST", gateURL+"/mcp", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo"}}`),
			append(header, "Content-Type", "application/json", "Accept", "application/json, text/event-stream")...)
	}
	r := ask("Mcp-Session-Id", "some")
	r.wantStatus(t, http.StatusServiceUnavailable)
	if len(w.sent()) > 0 {
		t.Error("a session of nobody knows whom has reached the server")
	}
	said := r.body
	page := gatePage(t, d)
	var report fullReport
	text := call(t, http.DefaultClient, "GET", page+"status.json", nil).body
	must(t, json.Unmarshal([]byte(text), &report))
	if s := report.Gate.Store; s == nil || s.Up || s.Failures == 0 || report.Gate.Sessions != 0 || !report.Ready {
		t.Errorf("%+v, ready %v", s, report.Ready)
	}
	told := false
	for _, p := range report.Problems {
		told = told || p.About == "store" && p.Level == "error"
	}
	metrics := call(t, http.DefaultClient, "GET", page+"metrics", nil).body
	wantMetrics(t, readSeries(t, metrics), map[string]float64{`gate_session_store_up`: 0, `gate_ready`: 1})
	if _, there := readSeries(t, metrics)[`gate_sessions_live`]; there || !told {
		t.Errorf("sessions are counted: %v; the status tells: %v", there, told)
	}
	status, _ := runToEnd(t, w.home, nil, "status", "--address", strings.TrimSuffix(strings.TrimPrefix(page, "http://"), "/"))
	if lineWith(status, "sessions are in Redis") == "" || lineWith(status, "error:", "Redis does not answer") == "" {
		t.Errorf("%s", status)
	}
	d.signal(syscall.SIGTERM)
	if code := d.stopped(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	for where, text := range map[string]string{"answers": said, "status": text + status + metrics, "log": d.log.String(), "audit": w.read("audit.jsonl")} {
		if leaks(text, map[string]string{"password": password}) != nil {
			t.Errorf("%s: the password is in\n%s", where, text)
		}
	}
}

// Who runs a gate is told of a secret that is gone when it begins, with the place.
func TestGateNamesThePlaceOfACredentialThatCannotBeRead(t *testing.T) {
	t.Parallel()
	w := newBehalfWorld(t, "", bySecret)
	cfg, problems := config.LoadGate(filepath.Join(w.home, "gate.toml"))
	if cfg == nil {
		t.Fatal(problems)
	}
	log, err := telemetry.NewLogger(new(eventLog), "info", "text")
	must(t, err)
	writeTestFile(t, filepath.Join(w.home, "obo.secret"), "\n")
	if _, err := buildGate(cfg, surroundings{log: log}); err == nil || !strings.Contains(err.Error(), "gate.toml:") || !strings.Contains(err.Error(), "obo.secret") {
		t.Errorf("%v", err)
	}
}

// What a user's token was exchanged for is remembered once where routes ask for the
// same by the same credential, and apart where they do not.
func TestRoutesWithOneCredentialAndAPIShareWhatTokensWereExchangedFor(t *testing.T) {
	t.Parallel()
	w := newBehalfWorld(t, "", bySecret)
	cfg, problems := config.LoadGate(filepath.Join(w.home, "gate.toml"))
	if cfg == nil {
		t.Fatal(problems)
	}
	behalf := *cfg.Routes[0].OnBehalfOf
	route := func(path string, o config.GateOnBehalfOf) config.GateRoute {
		r := cfg.Routes[0]
		r.Path, r.OnBehalfOf = path, &o
		return r
	}
	reordered, wider, certified, quiet := behalf, behalf, behalf, behalf
	behalf.Scopes = []string{graphAPI + "/User.Read", graphAPI + "/Mail.Read"}
	reordered.Scopes = []string{graphAPI + "/Mail.Read", graphAPI + "/User.Read"}
	wider.Scopes = append(wider.Scopes, graphAPI+"/Files.Read")
	certified.Scopes, certified.SecretFile, certified.Certificate = behalf.Scopes, "", testCertificate().file(t)
	quiet.Scopes, quiet.WarnConsent = behalf.Scopes, false
	plain := cfg.Routes[0]
	plain.Path, plain.OnBehalfOf = "/plain", nil
	cfg.Routes = []config.GateRoute{route("/quiet", quiet), plain, route("/a", behalf), route("/b", reordered), route("/c", wider), route("/d", certified)}
	log, err := telemetry.NewLogger(new(eventLog), "info", "text")
	must(t, err)
	g, err := buildGate(cfg, surroundings{log: log})
	must(t, err)
	defer g.close()
	got := ""
	for _, x := range g.apis {
		got += fmt.Sprintf("%v%v ", x.routes, x.warn)
	}
	if want := "[0 2 3]true [4]true [5]true "; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
