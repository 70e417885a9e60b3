package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// load writes the files (by name; config.toml is one of them) and loads them.
func load(t *testing.T, files map[string]string) (*Config, []Problem) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		writeFile(t, filepath.Join(dir, name), text)
	}
	return Load(filepath.Join(dir, "config.toml"))
}

func writeFile(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// lines prints problems as "NAME:LINE: message [hint]", NAME without directory.
func lines(problems []Problem) []string {
	var list []string
	for _, p := range problems {
		p.File = filepath.Base(p.File)
		line := p.String()
		if p.Hint != "" {
			line += fmt.Sprintf(" [%s]", p.Hint)
		}
		list = append(list, line)
	}
	return list
}

// wantProblems wants exactly these problems in this order, each given by where
// it stands and a part of what it says: "config.toml:3: |did you mean".
func wantProblems(t *testing.T, got []Problem, want ...string) {
	t.Helper()
	text := lines(got)
	ok := len(text) == len(want)
	for i := range min(len(text), len(want)) {
		place, part, _ := strings.Cut(want[i], "|")
		ok = ok && strings.HasPrefix(text[i], place) && strings.Contains(text[i], part)
	}
	if !ok {
		t.Errorf("got problems:\n%s\nwant:\n%s", strings.Join(text, "\n"), strings.Join(want, "\n"))
	}
}

func TestEmptyFileYieldsTheDefaults(t *testing.T) {
	t.Parallel()
	c, problems := load(t, map[string]string{"config.toml": ""})
	wantProblems(t, problems)
	got := fmt.Sprint(c.Listen, " ", c.Drain, " ", c.Upstream, " ", c.Access, " ", c.Tunnel, " ", c.Admin, " ", c.CA, " ",
		c.Token, " ", c.Entra, " ", c.Retry, " ", c.Session, " ", c.Log, " ", c.Audiences, c.Rules, c.Teams)
	want := "127.0.0.1:8877 10s {env <nil> [] []} {auto []} {all} {127.0.0.1:8878 } {[]} " +
		"{5m0s 45s notify} { } {8388608 268435456} {1m0s 0s 5s false} {info text } [] [] []"
	want = strings.Replace(want, "{ }", "{  false}", 1)
	if got != want {
		t.Errorf("defaults:\n got %s\nwant %s", got, want)
	}
}

func TestEverySettingIsRead(t *testing.T) {
	t.Parallel()
	c, problems := load(t, map[string]string{"config.toml": `
listen = "localhost:1"
upstream_proxy = "https://user:pass@proxy.example:3128/"
no_proxy = ["corp.example", ".corp.example", "10.0.0.0/8", "::1", "*.x.example", "y:8080", "*"]
drain = "1m"
[access]
mode = "credential"
[tunnel]
allow = "rules"
[admin]
listen = ""
token_file = "admin"
[ca]
permit = ["corp.example", "Corp2.Example.", "10.0.0.0/8", "127.0.0.1", "::1", "localhost"]
[token]
refresh_margin = "0"
timeout = "1s"
login = "off"
[entra]
az_path = "az"
authority_host = "https://login.example/"
disable_instance_discovery = true
[retry]
body_limit = "1 KiB"
memory = 4096
[session]
light = "1s"
hard = "2s"
cooldown = "3s"
ping = true
[log]
level = "debug"
format = "json"
audit = "audit"
`})
	for _, p := range problems {
		if !p.Warning {
			t.Error(p)
		}
	}
	dir := filepath.Dir(c.File)
	got := fmt.Sprint(c.Listen, " ", c.Drain, " ", c.Upstream, " ", c.Access, " ", c.Tunnel, " ", c.Admin, " ", c.CA, " ",
		c.Token, " ", c.Entra, " ", c.Retry, " ", c.Session, " ", c.Log)
	want := "localhost:1 1m0s {url https://user:pass@proxy.example:3128/ [corp.example .corp.example 10.0.0.0/8 ::1 *.x.example y:8080 *] []} " +
		"{credential []} {rules} { DIR/admin} {[corp.example corp2.example 10.0.0.0/8 127.0.0.1 ::1 localhost]} " +
		"{0s 1s off} {DIR/az https://login.example/ true} {1024 4096} {1s 2s 3s true} {debug json DIR/audit}"
	if want = strings.ReplaceAll(want, "DIR", dir); got != want {
		t.Errorf("settings:\n got %s\nwant %s", got, want)
	}
}

func TestRulesAndAudiencesAreRead(t *testing.T) {
	t.Parallel()
	c, problems := load(t, map[string]string{"config.toml": `
[audience.zoo]
token_command = ["bin/vault", "read"]
[audience.api]
client_id = "58348f96-645d-4a2e-8c1d-000000000000"
tenant = "contoso.onmicrosoft.com"
[[rule]]
prefix = "https://MCP.corp.example:443/servers"
audience = "api"
kind = "mcp"
[[rule]]
prefixes = ["https://a.example/", "https://b.example:8443/x/"]
audience = "zoo"
methods = ["GET", "PROPFIND"]
header = "X-Key"
scheme = ""
existing = "keep"
strip = ["x-api-key"]
headers = { Zulu = "a b", Alpha = { env = "KEY" }, Mike = { file = "key" } }
timeout = "5s"
name = "second"
[[rule]]
prefix = "https://c.example/"
audience = "zoo"
kind = "mcp"
`})
	wantProblems(t, problems)
	dir := filepath.Dir(c.File)
	if len(c.Audiences) != 2 || c.Audiences[0].Name != "zoo" || c.Audiences[1].Tenant != "contoso.onmicrosoft.com" {
		t.Errorf("audiences are not in file order: %+v", c.Audiences)
	}
	if got, want := fmt.Sprint(c.Audiences[0].TokenCommand), fmt.Sprintf("[%s read]", filepath.Join(dir, "bin/vault")); got != want {
		t.Errorf("token_command = %s, want %s", got, want)
	}
	first, second, third := c.Rules[0], c.Rules[1], c.Rules[2]
	if first.Name != "mcp-1" || second.Name != "second" || third.Name != "mcp-2" {
		t.Errorf("names = %s, %s, %s", first.Name, second.Name, third.Name)
	}
	if first.Pos.Line != 7 || first.Audience != c.Audiences[1] || first.Header != "Authorization" || first.Scheme != "Bearer" ||
		first.Existing != "replace" || first.Recover != "heal" || first.Unauthorized != "explain" || first.Methods != nil {
		t.Errorf("first rule = %+v", first)
	}
	if first.Prefixes[0].String() != "https://mcp.corp.example/servers/" {
		t.Errorf("prefix = %s", first.Prefixes[0])
	}
	want := fmt.Sprintf("[https://a.example/ https://b.example:8443/x/] [GET PROPFIND] X-Key  keep [x-api-key] "+
		"[{Zulu a b  } {Alpha  KEY } {Mike   %s}] 5s", filepath.Join(dir, "key"))
	got := fmt.Sprint(second.Prefixes, " ", second.Methods, " ", second.Header, " ", second.Scheme, " ", second.Existing, " ",
		second.Strip, " ", second.Headers, " ", second.Timeout)
	if got != want {
		t.Errorf("second rule:\n got %s\nwant %s", got, want)
	}
	table, index, err := c.Table()
	if err != nil {
		t.Fatal(err)
	}
	if v := table.Lookup("b.example:8443", "GET", "/x/y"); v.Rule < 0 || index[v.Rule] != 1 {
		t.Errorf("the table does not lead to the second rule: %+v, %v", v, index)
	}
}

func TestListenAddressDecidesWhoMayTunnel(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ listen, tunnel, override, want string }{
		{"127.0.0.1:0", "", "", "all"},
		{"[::1]:0", "", "", "all"},
		{"127.9.9.9:0", "", "", "all"},
		{"LOCALHOST:0", "", "", "all"},
		{":8877", "", "", "rules"},
		{"0.0.0.0:8877", "", "", "rules"},
		{"[::]:8877", "", "", "rules"},
		{"10.0.0.1:8877", "", "", "rules"},
		{"proxy.example:8877", "", "", "rules"},
		{"localhost.example:1", "", "", "rules"},
		{"10.0.0.1:8877", "all", "", "all"},
		{"127.0.0.1:0", "rules", "", "rules"},
		{"127.0.0.1:0", "", "0.0.0.0:0", "rules"},
		{"0.0.0.0:0", "", "127.0.0.1:0", "all"},
		{"0.0.0.0:0", "all", "0.0.0.0:1", "all"},
	} {
		text := fmt.Sprintf("listen = %q\n", tt.listen)
		if tt.tunnel != "" {
			text += fmt.Sprintf("[tunnel]\nallow = %q\n", tt.tunnel)
		}
		c, problems := load(t, map[string]string{"config.toml": text})
		wantProblems(t, problems)
		if tt.override != "" {
			if err := c.OverrideListen(tt.override); err != nil {
				t.Error(err)
			}
		}
		if c.Tunnel.Allow != tt.want {
			t.Errorf("%+v: tunnel.allow = %q", tt, c.Tunnel.Allow)
		}
	}
}

func TestOverrideOfTheListenAddressIsChecked(t *testing.T) {
	t.Parallel()
	c, _ := load(t, map[string]string{"config.toml": ""})
	c.Token.Login = "auto"
	for _, own := range []string{"127.0.0.1:1", "[::1]:1", "localhost:1"} {
		if err := c.OverrideListen(own); err != nil {
			t.Errorf("%s: %v", own, err)
		}
	}
	for _, shared := range []string{"0.0.0.0:1", "[::]:1", "proxy.example:1"} {
		if err := c.OverrideListen(shared); err == nil || !strings.Contains(err.Error(), "token.login") || c.Listen != "localhost:1" {
			t.Errorf("%s: %v; it listens on %s", shared, err, c.Listen)
		}
	}
	c.Token.Login = "notify"
	if err := c.OverrideListen("127.0.0.1:8877"); err != nil {
		t.Error(err)
	}
	if err := c.OverrideListen("8877"); err == nil || c.Listen != "127.0.0.1:8877" {
		t.Errorf("err = %v, listen = %s", err, c.Listen)
	}
}
