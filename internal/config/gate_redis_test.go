package config

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// reachable is trustworthy, with a server that several gates reach.
var reachable = strings.Replace(trustworthy, "http://127.0.0.1:9000", "https://mcp.internal.example", 1)

// TestGatesThatShareSessionsShareTheirServers holds that it is said where each would
// be led to its own machine, unless Redis is there, too.
func TestGatesThatShareSessionsShareTheirServers(t *testing.T) {
	t.Parallel()
	const warning = "gate.toml:13: warning: |redis.url: gates elsewhere share these sessions, and route /mcp leads each to a server of its own, "
	for _, tt := range []struct{ upstreams, redis, want string }{
		{`"http://127.0.0.1:9000"`, "rediss://redis.example", "http://127.0.0.1:9000: "},
		{`"https://mcp.internal.example", "http://localhost:9000"`, "rediss://redis.example", "http://localhost:9000: "},
		{`"http://[::1]:9000"`, "rediss://redis.example", "http://[::1]:9000: "},
		{`"http://127.0.0.1:9000"`, "redis://127.0.0.1", ""},
		{`"https://mcp.internal.example"`, "rediss://redis.example", ""},
	} {
		g, problems := loadGate(t, strings.Replace(trustworthy, `"http://127.0.0.1:9000"`, tt.upstreams, 1)+"\n[redis]\nurl = \""+tt.redis+"\"\n")
		if g == nil {
			t.Fatalf("%+v: %v", tt, problems)
		}
		if tt.want == "" {
			wantProblems(t, problems)
		} else {
			wantProblems(t, problems, warning+tt.want)
		}
	}
}

func TestRedisOfAGateIsRead(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ line, url, want string }{
		{`url = ""`, "", ""},
		{`url = "redis://127.0.0.1"`, "redis://127.0.0.1", ""},
		{`url = "REDISS://gate@redis.example:6380/15"`, "rediss://gate@redis.example:6380/15", "13: warning: |redis.url has a user, and there is no password_file [if what stands before @ is a password"},
		{`url = "rediss://` + canary + `@redis.example"`, "rediss://" + canary + "@redis.example", "13: warning: |redis.url has a user, and there is no password_file"},
		{`url = "redis://[::1]:6379/"`, "redis://[::1]:6379/", ""},
		{`url = "redis://redis.example"`, "redis://redis.example", "13: warning: |redis.url: whose sessions there are, and the password, travel in the clear to redis.example [rediss://"},
		{`url = "redis://:` + canary + `@127.0.0.1"`, "", "13: |redis.url has a password [put it into a file of its own, which password_file names]"},
		{`url = "redis://gate:@127.0.0.1"`, "", "13: |redis.url has a password"},
		{`url = "redis://gate:%zz` + canary + `@127.0.0.1"`, "", "13: |redis.url is not a URL; if there is a password in it"},
		{`url = "` + canary + `"`, "", `13: |redis.url is not a URL [such as "rediss://`},
		{`url = "redis.example:6379"`, "", "13: |redis.url is not a URL"},
		{`url = "valkey://redis.example"`, "", "13: |redis.url must be a redis or rediss URL, for Valkey, too"},
		{`url = "unix:///run/redis.sock"`, "", "13: |redis.url must be a redis or rediss URL"},
		{`url = "redis://127.0.0.1?db=1"`, "", "13: |redis.url has a query or a fragment"},
		{`url = "redis://127.0.0.1#1"`, "", "13: |redis.url has a query or a fragment"},
		{`url = "redis:///1"`, "", "13: |redis.url has no host"},
		{`url = "redis://127.0.0.1:` + canary + `"`, "", "13: |redis.url is not a URL"},
		{`url = "redis://127.0.0.1/` + canary + `"`, "", "13: |redis.url has a path that is not the number of a database"},
		{`url = "redis://127.0.0.1/-1"`, "", "13: |redis.url has a path that is not the number"},
		{`url = "redis://127.0.0.1/01"`, "", "13: |redis.url has a path that is not the number"},
		{`urls = ["redis://127.0.0.1"]`, "", `13: |unknown key "urls" in [redis]: did you mean "url"?`},
		{`password = "` + canary + `"`, "", "13: |password does not belong in this file"},
		{`password_file = "password"`, "", "13: warning: |redis.password_file has no effect without redis.url"},
	} {
		dir := t.TempDir()
		writeFile(t, filepath.Join(dir, "password"), canary)
		file := filepath.Join(dir, "gate.toml")
		writeFile(t, file, reachable+"\n[redis]\n"+tt.line+"\n")
		g, problems := LoadGate(file)
		var want []string
		if tt.want != "" {
			want = []string{"gate.toml:" + tt.want}
		}
		wantProblems(t, problems, want...)
		if usable := tt.want == "" || strings.Contains(tt.want, "warning"); usable != (g != nil) || usable && g.Redis.URL != tt.url {
			t.Errorf("%s: usable %v, %+v", tt.line, g != nil, g)
		}
		if text := fmt.Sprint(problems); shows(text) {
			t.Errorf("%s is shown by %s", tt.line, text)
		}
	}
}

func TestPasswordOfRedisIsInAFile(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		canary + "\n":          "",
		"":                     "gate.toml:14: |redis.password_file: there is nothing in the file",
		canary + "\n" + canary: "gate.toml:14: |redis.password_file: the file has more than one line",
	} {
		dir := t.TempDir()
		writeFile(t, filepath.Join(dir, "password"), text)
		file := filepath.Join(dir, "gate.toml")
		writeFile(t, file, reachable+"\n[redis]\nurl = \"rediss://a.example\"\npassword_file = \"password\"\n")
		g, problems := LoadGate(file)
		if want == "" {
			wantProblems(t, problems)
		} else {
			wantProblems(t, problems, want)
		}
		if want == "" != (g != nil) || g != nil && g.Redis.PasswordFile != filepath.Join(dir, "password") {
			t.Errorf("%q: %+v", text, g)
		}
	}
}
