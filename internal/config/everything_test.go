package config

import "testing"

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
session = { light = "1s", hard = "1s", cooldown = "1s", ping = true }
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

func TestEverythingIsValid(t *testing.T) {
	t.Parallel()
	if c, problems := load(t, map[string]string{"config.toml": everything}); c == nil || len(problems) > 0 {
		t.Error(lines(problems))
	}
}
