//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// wantToken holds that o is sent a token under the rule for all of it.
func (d *daemon) wantToken(o *origin, want string) {
	d.t.Helper()
	o.taken()
	call(d.t, d.client("h2", nil), "GET", "https://api.example.test/v1/x", nil)
	got := o.taken()
	if len(got) != 1 || got[0].bearer() != want {
		d.t.Errorf("upstream saw %+v, want the token %q", got, want)
	}
}

func TestServeTakesChangesOver(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	home := t.TempDir()
	s := exchangeConfig(t, o, "", "")
	file := s.write(t, home)
	d := startDaemon(t, home, nil)
	d.wantToken(o, tokenA)
	good, err := os.ReadFile(file)
	must(t, err)
	other := strings.Replace(string(good), `audience = "a"`, `audience = "b"`, 1)

	writeTestFile(t, file, other)
	d.log.wait(t, "configuration reloaded")
	d.wantToken(o, tokenB)

	broken := strings.Replace(string(good), `name = "api"`, `nmae = "api"`, 1)
	line := strings.Count(broken[:strings.Index(broken, "nmae")], "\n") + 1
	writeTestFile(t, file, broken)
	d.log.wait(t, "level=ERROR", "msg=configuration", fmt.Sprintf("config.toml:%d", line), "unknown key")
	d.log.wait(t, "level=ERROR", "the one before stays in use")
	d.wantToken(o, tokenB)

	writeTestFile(t, file, strings.Replace(string(good), "[audience.a]", "[log]\nlevel = \"debug\"\n[ca]\npermit = [\"example.test\"]\n[audience.a]", 1))
	d.log.wait(t, "changed settings wait for a restart", "log, ca.permit")
	d.wantToken(o, tokenA)
	d.signal(syscall.SIGTERM)
	if status := d.stopped(); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

func TestHangupReloads(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	home := t.TempDir()
	exchangeConfig(t, o, "", "").write(t, home)
	d := startDaemon(t, home, nil)
	d.signal(syscall.SIGHUP) // though no file has changed
	d.log.wait(t, "configuration reloaded")
	d.wantToken(o, tokenA)
}

// TestBrokenTeamFileSwitchesItsTeamOff breaks the file of one of two teams
// while serve runs, and mends it.
func TestBrokenTeamFileSwitchesItsTeamOffWhileServing(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	home := t.TempDir()
	s := exchangeConfig(t, o, "", "")
	s.tables += "[team.one]\nprefixes = [\"https://api.example.test/one/\"]\naudiences = [\"a\"]\n" +
		"[team.two]\nprefixes = [\"https://api.example.test/two/\"]\naudiences = [\"b\"]\n"
	s.write(t, home)
	team := func(name, audience string) string {
		return "team = \"" + name + "\"\n[[rule]]\nprefix = \"https://api.example.test/" + name + "/\"\naudience = \"" + audience + "\"\n"
	}
	d := startDaemon(t, home, nil)
	one, two := filepath.Join(home, "rules.d", "one.toml"), filepath.Join(home, "rules.d", "two.toml")
	get := func(name string) reply {
		return call(t, d.client("h2", nil), "GET", "https://api.example.test/"+name+"/x", nil)
	}
	must(t, os.Mkdir(filepath.Dir(one), 0o700)) // the directory did not exist
	writeTestFile(t, one, team("one", "a"))
	d.log.wait(t, "configuration reloaded", "change=1 ", "rules=2")
	writeTestFile(t, two, team("two", "b"))
	d.log.wait(t, "configuration reloaded", "change=2 ", "rules=3")
	get("one").wantStatus(t, 200)
	get("two").wantStatus(t, 200)

	writeTestFile(t, two, team("two", "a"))
	d.log.wait(t, "level=ERROR", "two.toml:4", "is not granted to team two")
	d.log.wait(t, "configuration reloaded", "change=3 ", "problems=1")
	get("one").wantStatus(t, 200)
	o.taken()
	if p := get("two").problem(t, 502); !strings.Contains(p.Detail, "two.toml:4") {
		t.Errorf("%+v", p)
	}
	d.wantToken(o, tokenA)

	writeTestFile(t, two, team("two", "b"))
	d.log.wait(t, "configuration reloaded", "change=4 ", "problems=0", "rules=3")
	get("two").wantStatus(t, 200)
}

// TestRuleOutsideTheCAIsOffAfterAChange adds a rule for a host that the CA,
// made for the rules of the first start, cannot speak for.
func TestRuleOutsideTheCAIsOffAfterAChange(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test", "other.example.test")
	home := t.TempDir()
	s := exchangeConfig(t, o, "", "")
	s.write(t, home)
	d := startDaemon(t, home, nil)
	s.tables += rule("https://other.example.test/v1/", `name = "other"`)
	s.write(t, home)
	d.log.wait(t, "a rule is off", "other.example.test", "ca rotate")
	d.log.wait(t, "configuration reloaded")
	d.wantToken(o, tokenA)
	conn, _ := trySend(d.client("h1", nil), newGet(t, "https://other.example.test/v1/x"))
	if conn.status != 0 {
		t.Errorf("status %d", conn.status)
	}
	if got := o.taken(); len(got) > 0 {
		t.Errorf("upstream saw %+v", got)
	}
}
