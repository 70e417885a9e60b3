//go:build unix

package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// startWithStatus starts a serve with a status port, and returns its address.
func startWithStatus(t *testing.T, o *origin, tables string) (d *daemon, address string) {
	t.Helper()
	home := t.TempDir()
	exchangeConfig(t, o, "", "[admin]\nlisten = \"127.0.0.1:"+freePort(t)+"\"\n"+tables).write(t, home)
	d = startDaemon(t, home, nil)
	line := d.log.wait(t, "msg=status", "address=")
	return d, regexp.MustCompile(`address=(\S+)`).FindStringSubmatch(line)[1]
}

// reported runs the command and returns what it says.
func (d *daemon) reported(args ...string) statusReport {
	d.t.Helper()
	out, status := runToEnd(d.t, d.home, nil, append([]string{"status", "--json"}, args...)...)
	var report statusReport
	if err := json.Unmarshal([]byte(out), &report); err != nil || status != 0 {
		d.t.Fatalf("exit status %d: %s", status, out)
	}
	return report
}

func TestStatusTellsOfRulesTokensAndChanges(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", func(w http.ResponseWriter, s sighting) {
		if strings.HasSuffix(s.target, "/missing") {
			w.WriteHeader(http.StatusNotFound)
		}
	}, "api.example.test")
	d, address := startWithStatus(t, o, "[team.platform]\nprefixes = [\"https://team.example.test/\"]\n")
	c := d.client("h2", nil)
	for _, path := range []string{"x", "x", "missing"} {
		call(t, c, "GET", "https://api.example.test/v1/"+path, nil)
	}
	call(t, c, "GET", "https://api.example.test/elsewhere", nil)
	d.log.wait(t, "msg=request", "path=/elsewhere") // the last one is counted

	s := d.reported()
	if len(s.Rules) != 1 || s.Rules[0].Name != "api" || s.Rules[0].Requests != 3 || s.Rules[0].Failures != 1 || s.Rules[0].Last.IsZero() || s.Forwarded.Requests != 1 {
		t.Errorf("rules: %+v, %+v", s.Rules, s.Forwarded)
	}
	if len(s.Tokens) != 2 || s.Tokens[0].Source != "token_file" || s.Tokens[0].Fingerprint == "" || s.Tokens[1].Source != "" {
		t.Errorf("tokens: %+v", s.Tokens)
	}
	if s.Configuration.Changes != 0 || !s.Configuration.Broken.IsZero() || len(s.Configuration.Problems) != 0 {
		t.Errorf("configuration: %+v", s.Configuration)
	}

	file := filepath.Join(d.home, "config.toml")
	good, err := os.ReadFile(file)
	must(t, err)
	writeTestFile(t, file, strings.Replace(string(good), `name = "api"`, `nmae = "api"`, 1))
	d.log.wait(t, "the one before stays in use")
	s = d.reported("--address", address)
	if p := s.Configuration.Problems; s.Configuration.Broken.IsZero() || len(p) != 1 || p[0].Line == 0 || p[0].File != file {
		t.Errorf("a broken file: %+v", s.Configuration)
	}
	writeTestFile(t, file, string(good)) // so that the command finds the address
	d.log.wait(t, "configuration reloaded", "change=1 ")
	if s = d.reported(); !s.Configuration.Broken.IsZero() || s.Configuration.Changes != 1 || s.Rules[0].Requests != 3 {
		t.Errorf("mended: %+v %+v", s.Configuration, s.Rules)
	}

	writeTestFile(t, filepath.Join(d.home, "rules.d", "platform.toml"), "team = \"platform\"\nbroken = 1\n")
	writeTestFile(t, file, strings.Replace(string(good), "[audience.a]", "[log]\nlevel = \"debug\"\n[audience.a]", 1))
	d.log.wait(t, "changed settings wait for a restart", "keys=log")
	d.log.wait(t, "level=ERROR", "platform.toml:2")
	s = d.reported()
	if len(s.TeamsOff) != 1 || s.TeamsOff[0].Team != "platform" || !strings.Contains(s.TeamsOff[0].Why, "platform.toml:2") {
		t.Errorf("teams: %+v", s.TeamsOff)
	}
	if len(s.Configuration.Restart) != 1 || s.Configuration.Restart[0] != "log" {
		t.Errorf("restart: %+v", s.Configuration.Restart)
	}

	text, status := runToEnd(t, d.home, nil, "status")
	for _, want := range []string{"api ", "team platform is off", "platform.toml:2", "waiting for a restart: log", "token_file", s.Tokens[0].Fingerprint} {
		if !strings.Contains(text, want) || status != 0 {
			t.Errorf("exit status %d, without %q:\n%s", status, want, text)
		}
	}
	raw, err := json.Marshal(s)
	must(t, err)
	if all := text + string(raw); strings.Contains(all, tokenA) || strings.Contains(all, tokenB) {
		t.Error("a token is shown")
	}
}

func TestStatusIsForWhomThePortIs(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	d, address := startWithStatus(t, o, "[access]\nmode = \"credential\"\n[access.client.farm]\ntoken_file = \"farm.token\"\nrules = [\"api\"]\n")
	writeTestFile(t, filepath.Join(d.home, "farm.token"), farmToken)
	b, err := os.ReadFile(filepath.Join(d.home, "credential"))
	must(t, err)
	credential := strings.TrimSpace(string(b))
	direct := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: guard}
	for _, tt := range []struct {
		user *url.Userinfo
		auth string
		want int
	}{
		{nil, "", 401}, {url.UserPassword("injectproxy", "wrong"), "", 401}, {nil, "Bearer wrong", 401},
		{url.UserPassword("farm", farmToken), "", 401},
		{url.UserPassword("injectproxy", credential), "", 200}, {nil, "Bearer " + credential, 200},
	} {
		r := newGet(t, "http://"+address+"/status.json")
		if tt.user != nil {
			password, _ := tt.user.Password()
			r.SetBasicAuth(tt.user.Username(), password)
		}
		if tt.auth != "" {
			r.Header.Set("Authorization", tt.auth)
		}
		send(t, direct, r).wantStatus(t, tt.want)
	}
	send(t, direct, newGet(t, "http://"+address+"/readyz")).wantStatus(t, 200)
	if s := d.reported(); len(s.Rules) != 1 { // the command finds the credential
		t.Errorf("%+v", s)
	}
}

func TestStatusPortIsNotReachedThroughTheProxy(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	d, address := startWithStatus(t, o, "")
	c := d.client("h1", nil)
	call(t, c, "GET", "http://"+address+"/healthz", nil).problem(t, 403)
	call(t, c, "GET", "http://localhost:"+address[strings.LastIndex(address, ":")+1:]+"/healthz", nil).wantStatus(t, 403)
	if _, err := trySend(c, newGet(t, "https://"+address+"/")); err == nil || !strings.Contains(err.Error(), "Forbidden") {
		t.Error(err)
	}
}

func TestSecondServeProxiesWithoutAStatusPort(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	_, address := startWithStatus(t, o, "")
	home := t.TempDir()
	exchangeConfig(t, o, "", "[admin]\nlisten = \""+address+"\"\n").write(t, home)
	d := startDaemon(t, home, nil)
	d.log.wait(t, "level=WARN", "there is no status", address)
	d.wantToken(o, tokenA)
}

func TestStatusOfNothing(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	settings{top: `admin = { listen = "" }`}.write(t, home)
	if out, status := runToEnd(t, home, nil, "status"); status != 1 || !strings.Contains(out, "hint: ") {
		t.Errorf("turned off: %d %s", status, out)
	}
	settings{top: `admin = { listen = "127.0.0.1:` + freePort(t) + `" }`}.write(t, home)
	if out, status := runToEnd(t, home, nil, "status"); status != 1 || !strings.Contains(out, "injectproxy serve") {
		t.Errorf("not running: %d %s", status, out)
	}
}
