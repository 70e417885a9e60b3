package config

import (
	"slices"
	"strings"
	"testing"
)

// everything sets each key to something else than its default.
const everything = `listen = "127.0.0.1:1"
include = ["x/*.toml"]
upstream_proxy = "http://proxy.example"
no_proxy = ["a"]
drain = "1s"
access = { mode = "credential", client = { x = { token_file = "x", rules = ["r"] } } }
tunnel = { allow = "rules" }
admin = { listen = "", token_file = "x" }
ca = { permit = ["a.example"] }
token = { refresh_margin = "1m", timeout = "1s", login = "off" }
entra = { az_path = "x", authority_host = "https://x/", disable_instance_discovery = true }
retry = { body_limit = 1, memory = 2 }
session = { light = "1s", hard = "1s", cooldown = "1s" }
log = { level = "warn", format = "json", audit = "x" }
[audience.a]
scope = "https://x/.default"
tenant = "a.example"
sources = ["az"]
identity = "user"
[[rule]]
prefix = "https://a.example/"
audience = "a"
kind = "mcp"
name = "r"
methods = ["GET"]
header = "X-A"
scheme = ""
existing = "keep"
strip = ["X-B"]
headers = { X-C = "c" }
timeout = "1s"
recover = "off"
unauthorized = "pass"
[team.t]
prefixes = ["https://t.example/"]
`

func TestKeysWithoutEffectAreWarnedOf(t *testing.T) {
	t.Parallel()
	c, problems := load(t, map[string]string{"config.toml": everything})
	if c == nil {
		t.Fatal(lines(problems))
	}
	var got []string
	for _, p := range problems {
		key, ok := strings.CutSuffix(p.Message, " has no effect yet")
		if !ok || !p.Warning {
			t.Error(p)
		}
		got = append(got, key)
	}
	slices.Sort(got)
	want := []string{
		"admin.token_file",
		"log.audit", "recover", "session.cooldown", "session.hard", "session.light",
	}
	if !slices.Equal(got, want) {
		t.Errorf("warned of\n%v, want\n%v", got, want)
	}
}

func TestDefaultsOfKeysWithoutEffectAreNotWarnedOf(t *testing.T) {
	t.Parallel()
	_, problems := load(t, map[string]string{"config.toml": `
admin = { listen = "127.0.0.1:8878", token_file = "" }
token = { login = "notify" }
entra = { az_path = "" }
session = { light = "60s", hard = "0", cooldown = "5s" }
log = { audit = "" }
[audience.a]
scope = "https://x/.default"
sources = ["default", "az"]
identity = "any"
[[rule]]
prefix = "https://a.example/"
audience = "a"
kind = "mcp"
recover = "heal"
unauthorized = "explain"
`})
	wantProblems(t, problems)
}

func TestTeamFilesAreWarnedToo(t *testing.T) {
	t.Parallel()
	_, problems := load(t, map[string]string{"config.toml": granting, "rules.d/a.toml": `team = "alpha"
rule = [ { prefix = "https://alpha.example/", audience = "gateway", kind = "mcp",
recover = "off" } ]`})
	wantProblems(t, problems, "a.toml:3: warning: |recover has no effect yet")
}
