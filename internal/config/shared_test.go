package config

import "testing"

// Named clients on this machine are other users of it: they are confined as if
// they came from elsewhere.
func TestNamedClientsMakeAnInstanceShared(t *testing.T) {
	t.Parallel()
	files := map[string]string{"x": "0123456789abcdef0123456789abcdef", "config.toml": `
[audience.a]
token_env = "A"
[[rule]]
name = "r"
prefix = "https://a.example/"
audience = "a"
[access.client.x]
token_file = "x"
rules = ["r"]
`}
	c, problems := load(t, files)
	wantProblems(t, problems)
	if !c.Shared() || c.Tunnel.Allow != "rules" {
		t.Errorf("shared %v, tunnel.allow %q", c.Shared(), c.Tunnel.Allow)
	}
	files["config.toml"] += "[token]\nlogin = \"auto\"\n"
	_, problems = load(t, files)
	wantProblems(t, problems, "config.toml:12: |lend every client of 127.0.0.1:8877 an identity")
}
