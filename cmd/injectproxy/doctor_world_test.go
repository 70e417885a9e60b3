//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/ca"
	"github.com/injectproxy/injectproxy/internal/entratest"
)

// patient is a home in which nothing is wrong, until a test breaks something.
type patient struct {
	t      testing.TB
	home   string
	listen string
	entra  *entratest.Authority // nil: audience a has a token in a file
	az     *scriptedAz
	board  *switchboard
	late   atomic.Int64      // by how many seconds the upstream's clock is behind
	env    map[string]string // of the shell that doctor is run in
	top    string            // of config.toml
	tables string            // likewise
	azPath string            // a line for [entra]
	origin string            // where api.example.test is
	other  *daemon           // of another home
}

func newPatient(t testing.TB, entra *entratest.Authority) *patient {
	p := &patient{t: t, home: t.TempDir(), listen: "127.0.0.1:" + freePort(t), entra: entra}
	o := newOrigin(t, "h2", func(w http.ResponseWriter, _ sighting) {
		w.Header().Set("Date", time.Now().Add(-time.Duration(p.late.Load())*time.Second).UTC().Format(http.TimeFormat))
	}, "api.example.test", "new.example.test")
	p.board = newSwitchboard(t, map[string]string{"api.example.test:443": o.authority, "new.example.test:443": o.authority})
	p.origin = o.authority
	p.usual()
	if entra != nil {
		p.az = azAt(t, p.home, entra)
		p.az.version = "2.80.0"
	}
	p.write()
	permit, err := ca.ParsePermit([]string{"api.example.test"})
	must(t, err)
	_, err = ca.Ensure(caDir(p.home), permit, nil)
	must(t, err)
	p.env = map[string]string{
		"PATH":             filepath.Join(p.home, "bin") + ":" + binDir(t) + ":/usr/bin:/bin",
		"AZURE_CONFIG_DIR": filepath.Join(p.home, "azure"), "HOME": t.TempDir(), "INJECTPROXY_HOME": p.home, "GORACE": "atexit_sleep_ms=0",
	}
	return p
}

// usual is a configuration in which nothing is wrong.
func (p *patient) usual() {
	p.top = fmt.Sprintf("listen = %q\nupstream_proxy = %q", p.listen, p.board.url(nil))
	p.tables = fileAudiences + rule("https://api.example.test/v1/")
	if p.entra != nil {
		p.tables = azAudience + rule("https://api.example.test/v1/")
	}
}

// write makes the configuration.
func (p *patient) write() {
	settings{top: p.top, tables: p.azPath + p.tables, files: tokenFiles, entra: p.entra}.write(p.t, p.home)
}

// serve starts a serve of p, and sets the shell up for it.
func (p *patient) serve() *daemon {
	p.t.Helper()
	d := startDaemon(p.t, p.home, nil)
	maps.Copy(p.env, envJSON(p.t, p.environ()))
	return d
}

func (p *patient) environ() (list []string) {
	for _, name := range slices.Sorted(maps.Keys(p.env)) {
		list = append(list, name+"="+p.env[name])
	}
	return list
}

// end stops d.
func (d *daemon) end() {
	d.t.Helper()
	d.signal(os.Interrupt)
	d.stopped()
}

// refusal has every request refused with these challenges, none with a status of 0.
func (s *switchboard) refusal(status int, challenges ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse, s.challenges = status, challenges
}

// connects has s lead an authority to another address.
func (s *switchboard) connects(authority, to string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines[authority] = to
}

// shell runs a script in p's shell.
func (p *patient) shell(script string) (string, int) {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), "/bin/sh", "-c", script)
	cmd.Env = p.environ()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, _ := cmd.Output() // the status says it
	if stderr.Len() > 0 && strings.Contains(script, "doctor") {
		p.t.Logf("%s: %s", script, stderr.String())
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// examined returns what doctor finds, after the shell has run first.
func (p *patient) examined(first string) (findings []finding, status int) {
	p.t.Helper()
	out, status := p.shell(first + "injectproxy doctor --json")
	if err := json.Unmarshal([]byte(out), &findings); err != nil {
		p.t.Fatalf("exit status %d, %v:\n%s", status, err, out)
	}
	if found := leaks(out, map[string]string{"a": tokenA, "b": tokenB}); found != nil {
		p.t.Errorf("tokens of %q are shown:\n%s", found, out)
	}
	if strings.Contains(out, "secret") {
		p.t.Errorf("a password is shown:\n%s", out)
	}
	if p.az != nil {
		p.az.mu.Lock()
		defer p.az.mu.Unlock()
		if found := leaks(out, p.az.tokens); found != nil {
			p.t.Errorf("tokens of %q are shown:\n%s", found, out)
		}
	}
	return findings, status
}

// of returns those of a state.
func ofState(findings []finding, state string) []finding {
	return slices.DeleteFunc(slices.Clone(findings), func(f finding) bool { return f.Status != state })
}

// wantHealthy fails the test if doctor finds a failure.
func (p *patient) wantHealthy(first string) {
	p.t.Helper()
	if findings, status := p.examined(first); status != 0 || failures(findings) > 0 {
		p.t.Errorf("exit status %d, failures %+v", status, ofState(findings, stateFail))
	}
}

// only returns the one failure that doctor finds.
func (p *patient) only() finding {
	p.t.Helper()
	findings, status := p.examined("")
	failed := ofState(findings, stateFail)
	if len(failed) != 1 || status != 1 {
		p.t.Fatalf("exit status %d, failures %+v of\n%+v", status, failed, findings)
	}
	if failed[0].Remedy == "" {
		p.t.Errorf("no remedy: %+v", failed[0])
	}
	return failed[0]
}

// brokenWorld is one thing that is wrong.
type brokenWorld struct {
	name  string
	entra bool
	wrong func(*patient)

	check, subject, detail string         // of the one failure, in part
	remedy                 string         // its beginning
	mend                   func(*patient) // nil: the remedy is a command, and does it
}

func (w brokenWorld) examine(t *testing.T, entra *entratest.Authority) {
	if !w.entra {
		entra = nil
	}
	p := newPatient(t, entra)
	w.wrong(p)
	f := p.only()
	if f.Check != w.check || !strings.Contains(f.Subject, w.subject) || !strings.Contains(f.Detail, w.detail) || !strings.HasPrefix(f.Remedy, w.remedy) {
		t.Fatalf("found %+v, want %+v", f, w)
	}
	if w.mend != nil {
		w.mend(p)
		p.wantHealthy("")
		return
	}
	// What has two steps says the next one once the first is done.
	for range 3 {
		if strings.HasPrefix(f.Remedy, "eval ") {
			p.wantHealthy(f.Remedy + "; ")
			return
		}
		if out, status := p.shell(f.Remedy); status != 0 {
			t.Fatalf("%s: exit status %d: %s", f.Remedy, status, out)
		}
		findings, _ := p.examined("")
		if failures(findings) == 0 {
			return
		}
		f = p.only()
	}
	t.Errorf("the remedies mend nothing: %+v", f)
}
