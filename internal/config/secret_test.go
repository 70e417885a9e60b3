package config

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

const canary = "Canary7f3a9c51"

// Wherever a secret may stand, rightly or because the wrong thing was pasted,
// no problem shows it.
func TestProblemsShowNoSecret(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		`upstream_proxy = "http://user:` + canary + `@proxy.example/path"`,
		`upstream_proxy = "socks5://user:` + canary + `@proxy.example"`,
		`upstream_proxy = "http://user:` + canary + `@pro xy"`,
		`upstream_proxy = "http://user:` + canary + `@:99999999"`,
		`upstream_proxy = http://user:` + canary + `@proxy.example`,
		`upstream_proxy = "` + canary + `"`,
		`upstream_proxy = "http://user:` + canary + `\uZZZZ"`,
		`upstream_proxy = "` + canary,
		`upstream_proxy = ["` + canary + `"]`,
		`no_proxy = ["http://user:` + canary + `@proxy.example"]`,
		`listen = "user:` + canary + `@127.0.0.1:1:1"`,
		`ca.permit = ["https://user:` + canary + `@a.example/"]`,
		`include = ["https://user:` + canary + `@a.example/rules.toml"]`,
		`upstream_ca = ["https://user:` + canary + `@a.example/ca.pem"]`,
		`drain = "https://user:` + canary + `@a.example/"`,
		`entra.authority_host = "https://user:` + canary + `@login.example/"`,
		`audience.b = { client_id = "` + canary + `" }`,
		`audience.b = { client_id = "api://` + canary + `" }`,
		`audience.b = { resource = "` + canary + `", tenant = "` + canary + `" }`,
		`audience.b = { scope = "` + canary + ` " }`,
		`audience.b = { token_env = "` + canary + `-" }`,
		`audience.b = { token_env = 1` + canary + ` }`,
		`audience.b = { token_command = ["", "` + canary + `"] }`,
		`audience.b = { token_command = "vault ` + canary + `" }`,
		`audience.b = { token_command = ["vault", "` + canary + `"], token_env = "X" }`,
		`[[rule]]` + "\n" + `prefix = "https://user:` + canary + `@a.example/"`,
		`[[rule]]` + "\n" + `prefix = "https://a.example/?key=` + canary + `"`,
		`[[rule]]` + "\n" + `headers = { X-Key = "` + canary + `\n\n" }`,
		`[[rule]]` + "\n" + `headers = { X-Key = ` + canary + ` }`,
		`[[rule]]` + "\n" + `headers = { X-Key = "` + canary + `é" }`,
		`[[rule]]` + "\n" + `headers = { X-Key = ["` + canary + `"] }`,
		`[[rule]]` + "\n" + `headers = { X-Key = { env = "` + canary + `-" } }`,
		`[[rule]]` + "\n" + `headers = { Host = "` + canary + `", authorization = "` + canary + `" }`,
		`[[rule]]` + "\n" + `headers = { X-Key = 2026-01-01` + canary + ` }`,
		`[[rule]]` + "\n" + `headers = { X-Key = 0x` + canary + ` }`,
		`[[rule]]` + "\n" + `headers = "X-Key: ` + canary + `"`,
	} {
		for _, files := range []map[string]string{
			{"config.toml": line},
			{"config.toml": granting, "rules.d/a.toml": "team = \"alpha\"\n" + line},
		} {
			_, problems := load(t, files)
			if len(problems) == 0 {
				t.Errorf("no problem with %s", line)
			}
			if encoded, _ := json.Marshal(problems); shows(string(encoded)) || shows(fmt.Sprint(problems)) {
				t.Errorf("%s is shown by %v", line, problems)
			}
		}
	}
	for _, number := range []string{"918273645546372819", "91827364554637281910111213", "9182736455463.7e99999", "9182-73-64", "0.9182736455463728"} {
		_, problems := load(t, map[string]string{"config.toml": "[[rule]]\nheaders = { X-Key = " + number + " }"})
		if len(problems) == 0 || strings.Contains(fmt.Sprint(problems), "8273") || strings.Contains(fmt.Sprint(problems), "9182-") {
			t.Errorf("%s is shown by, or no part of %v", number, problems)
		}
	}
	if _, problems := load(t, map[string]string{"config.toml": canary + " = 1"}); !shows(fmt.Sprint(problems)) {
		t.Error("the search does not find what is there")
	}
}

// shows reports whether any part of the canary long enough to matter is in s.
func shows(s string) bool {
	for i := 0; i+6 <= len(canary); i++ {
		if strings.Contains(s, canary[i:i+6]) {
			return true
		}
	}
	return false
}
