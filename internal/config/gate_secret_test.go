package config

import (
	"encoding/json"
	"fmt"
	"testing"
)

// Wherever a secret may be pasted into a gate.toml, no problem shows it.
func TestProblemsOfAGateShowNoSecret(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		`public_url = "https://user:` + canary + `@mcp.example"`,
		`public_url = "https://mcp.example/?key=` + canary + `"`,
		`public_url = "` + canary + `"`,
		`public_url = "https://mcp.example:` + canary + `"`,
		`hosts = ["https://user:` + canary + `@a.example"]`,
		`upstream_proxy = "socks5://user:` + canary + `@proxy.example"`,
		`upstream_ca = ["https://user:` + canary + `@a.example/ca.pem"]`,
		`tls = { cert = "https://user:` + canary + `@a.example/", key = "` + canary + `" }`,
		`entra.client_id = "` + canary + `"`,
		`entra.client_id = "api://` + canary + `"`,
		`entra.tenants = ["` + canary + `"]`,
		`entra.clients = ["` + canary + `"]`,
		`entra.shim_client = "` + canary + `"`,
		`entra.app_id_uri = "` + canary + `"`,
		`entra.app_id_uri = "https://user:` + canary + `@a.example"`,
		`entra.audiences = ["https://user:` + canary + `@a.example"]`,
		`entra.audiences = ["` + canary + ` "]`,
		`entra.authority_host = "https://user:` + canary + `@login.example/"`,
		`[[route]]` + "\n" + `path = "https://user:` + canary + `@a.example"`,
		`[[route]]` + "\n" + `upstream = ["http://user:` + canary + `@127.0.0.1:9000"]`,
		`[[route]]` + "\n" + `upstream = ["http://127.0.0.1:9000/?key=` + canary + `"]`,
		`[[route]]` + "\n" + `upstream = ["http://127.0.0.1:9000/#` + canary + `"]`,
		`[[route]]` + "\n" + `upstream = ["http://127.0.0.1:` + canary + `"]`,
		`[[route]]` + "\n" + `upstream = ["` + canary + `"]`,
		`[[route]]` + "\n" + `upstream = "` + canary + `"`,
		`[[route]]` + "\n" + `scopes = ["https://user:` + canary + `@a.example/x"]`,
		`[[route]]` + "\n" + `origins = ["https://user:` + canary + `@a.example"]`,
		`[[route]]` + "\n" + `origins = ["https://user:` + canary + `@a.example/"]`,
		`redis.url = "redis://user:` + canary + `@redis.example"`,
		`redis.url = "redis://` + canary + `:x@redis.example"`,
		`redis.url = "redis://redis.example/` + canary + `"`,
		`redis.url = "redis://redis.example:` + canary + `"`,
		`redis.url = "` + canary + `"`,
		`redis.password = "` + canary + `"`,
		`redis.password_file = "https://user:` + canary + `@a.example/"`,
		`[[route]]` + "\n" + `on_behalf_of = { scope = "` + canary + `", secret = "` + canary + `" }`,
		`[[route]]` + "\n" + `on_behalf_of = { scope = "https://` + canary + `", client_secret = "` + canary + `" }`,
		`[[route]]` + "\n" + `on_behalf_of = { scope = "https://user:` + canary + `@a.example/x", secret_file = "` + canary + `" }`,
		`[[route]]` + "\n" + `on_behalf_of = { scope = "` + canary + `/x", certificate = "` + canary + `" }`,
		`[[route]]` + "\n" + `on_behalf_of = { scope = ["` + canary + `"], identity = "` + canary + `", federated = "managed-identity" }`,
		`[[route]]` + "\n" + `on_behalf_of = "` + canary + `"`,
		`[[route]]` + "\n" + `identity_headers = { X-User = "https://user:` + canary + `@a.example" }`,
	} {
		_, problems := loadGate(t, line)
		if encoded, _ := json.Marshal(problems); len(problems) == 0 || shows(string(encoded)) || shows(fmt.Sprint(problems)) {
			t.Errorf("%s is shown by %v", line, problems)
		}
	}
}
