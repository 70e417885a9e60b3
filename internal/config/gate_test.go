package config

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// trustworthy is a gate.toml without a problem, up to its route's tools.
const trustworthy = `public_url = "https://mcp.corp.example"
[entra]
tenants = ["16b3c013-d300-468d-8c1d-000000000000"]
client_id = "58348f96-645d-4a2e-8c1d-000000000000"
[[route]]
path = "/mcp"
upstream = ["http://127.0.0.1:9000"]
scopes = ["access_as_user"]
[route.tools]
cost = { scopes = ["cost.read"] }
`

// loadGate writes text to a gate.toml and loads that.
func loadGate(t *testing.T, text string) (*Gate, []Problem) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "gate.toml")
	writeFile(t, file, text)
	return LoadGate(file)
}

func TestGateHasItsDefaults(t *testing.T) {
	t.Parallel()
	g, problems := loadGate(t, trustworthy)
	wantProblems(t, problems)
	if g == nil {
		t.Fatal("no gate")
	}
	const id = "58348f96-645d-4a2e-8c1d-000000000000"
	got := fmt.Sprintf("%s %s %v %s %d %+v %+v %+v %+v %+v %+v", g.Listen, g.PublicURL, g.Hosts, g.Drain, g.BodyLimit, g.Upstream, g.TLS, g.Entra, g.Redis, g.Admin, g.Log)
	want := ":8080 https://mcp.corp.example [] 30s 8388608 {Proxy:env URL:<nil> NoProxy:[] CA:[]} {Cert: Key:} " +
		"{Tenants:[16b3c013-d300-468d-8c1d-000000000000] ClientID:" + id + " AppIDURI:api://" + id + " Audiences:[" + id + " api://" + id + "] Clients:[] Algorithms:[RS256] AuthorityHost: Shim:false ShimClient:} {Pos: URL: PasswordFile:} " +
		"{Listen:127.0.0.1:8079 TokenFile:} {Level:info Format:text Audit:}"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	r := g.Routes[0]
	r.Pos.File, r.Tools[0].Pos.File = "", ""
	got = fmt.Sprintf("%+v", r)
	want = "{Pos::5 Path:/mcp Upstreams:[http://127.0.0.1:9000] Protocol:auto Host: Mode:strict Timeout:0s OnBehalfOf:<nil> Identity:[] Scopes:[access_as_user] Roles:[] Origins:[] Allow:false " +
		"Tools:[{Pos::10 Pattern:cost Scopes:[cost.read] Roles:[]}] Resources:[] Prompts:[]}"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// allOfGate sets each key to something else than its default, and has what is
// written in several ways in the one that is not kept.
const allOfGate = `listen = "127.0.0.1:8443"
public_url = "HTTPS://Mcp.Corp.example:443/"
hosts = ["Mcp.internal.:8080", "10.0.0.7"]
drain = "1s"
body_limit = "1MiB"
upstream_proxy = "http://proxy.example"
no_proxy = ["a"]
upstream_ca = []
log = { level = "warn", format = "json", audit = "audit" }
[entra]
tenants = ["16B3C013-D300-468D-8C1D-000000000000"]
client_id = "58348F96-645D-4A2E-8C1D-000000000000"
audiences = ["https://old.corp.example/"]
app_id_uri = "api://mcp"
clients = ["AA348f96-645d-4a2e-8c1d-000000000000"]
algorithms = ["ES256", "RS256"]
authority_host = "https://login.microsoftonline.us/"
shim = true
shim_client = "AA348f96-645d-4a2e-8c1d-000000000000"
[[route]]
path = "/mcp"
upstream = ["https://Server.example:443/x", "https://10.0.0.1:8443"]
upstream_http = "2"
upstream_host = "Localhost:9000"
mode = "optional"
timeout = "1m"
scopes = ["api://mcp/a", "api://58348f96-645d-4a2e-8c1d-000000000000/b", "c"]
roles = ["R"]
origins = ["https://App.example:443", "http://localhost:3000", "vscode-webview://x"]
default = "allow"
[route.tools]
"z*" = { scopes = ["api://mcp/z"], roles = ["Z"] }
a = {}
[route.resources]
"file:///*" = { roles = ["F"] }
[route.prompts]
p = { scopes = ["p"] }
[route.identity_headers]
x-forwarded-user = "oid"
"X-Roles" = "roles"
[[route]]
path = "/"
upstream = ["http://[::1]:9000"]
upstream_http = "h2c"
roles = ["R"]
default = "allow"
[admin]
listen = ""
token_file = "metrics"
[redis]
url = "REDISS://gate@Redis.example/3"
`

func TestGateKeepsWhatIsWritten(t *testing.T) {
	t.Parallel()
	g, problems := loadGate(t, allOfGate)
	wantProblems(t, problems, "gate.toml:51: warning: |redis.url has a user, and there is no password_file", "gate.toml:51: warning: |redis.url: gates elsewhere share these sessions, and route / ")
	if g == nil {
		t.Fatal("no gate")
	}
	dir := filepath.Dir(g.File)
	got := fmt.Sprintf("%s %s %v %s %d %+v %+v %+v %+v %+v", g.Listen, g.PublicURL, g.Hosts, g.Drain, g.BodyLimit, g.Upstream, g.Entra, g.Redis, g.Admin, g.Log)
	want := "127.0.0.1:8443 https://mcp.corp.example [mcp.internal.:8080 10.0.0.7] 1s 1048576 {Proxy:url URL:http://proxy.example NoProxy:[a] CA:[]} " +
		"{Tenants:[16b3c013-d300-468d-8c1d-000000000000] ClientID:58348f96-645d-4a2e-8c1d-000000000000 AppIDURI:api://mcp " +
		"Audiences:[58348f96-645d-4a2e-8c1d-000000000000 api://58348f96-645d-4a2e-8c1d-000000000000 api://mcp https://old.corp.example/] " +
		"Clients:[aa348f96-645d-4a2e-8c1d-000000000000] Algorithms:[ES256 RS256] AuthorityHost:https://login.microsoftonline.us Shim:true ShimClient:aa348f96-645d-4a2e-8c1d-000000000000} {Pos::51 URL:rediss://gate@Redis.example/3 PasswordFile:} " +
		"{Listen: TokenFile:" + filepath.Join(dir, "metrics") + "} {Level:warn Format:json Audit:" + filepath.Join(dir, "audit") + "}"
	if got = strings.ReplaceAll(got, g.File, ""); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	got = strings.ReplaceAll(fmt.Sprintf("%+v", g.Routes), g.File, "")
	want = "[{Pos::20 Path:/mcp Upstreams:[https://server.example/x https://10.0.0.1:8443] Protocol:2 Host:Localhost:9000 Mode:optional Timeout:1m0s OnBehalfOf:<nil> Identity:[{Pos::39 Header:X-Forwarded-User Of:oid} {Pos::40 Header:X-Roles Of:roles}] Scopes:[a b c] Roles:[R] " +
		"Origins:[https://app.example http://localhost:3000 vscode-webview://x] Allow:true " +
		"Tools:[{Pos::32 Pattern:z* Scopes:[z] Roles:[Z]} {Pos::33 Pattern:a Scopes:[] Roles:[]}] Resources:[{Pos::35 Pattern:file:///* Scopes:[] Roles:[F]}] Prompts:[{Pos::37 Pattern:p Scopes:[p] Roles:[]}]} " +
		"{Pos::41 Path:/ Upstreams:[http://[::1]:9000] Protocol:h2c Host: Mode:strict Timeout:0s OnBehalfOf:<nil> Identity:[] Scopes:[] Roles:[R] Origins:[] Allow:true Tools:[] Resources:[] Prompts:[]}]"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestGateWithoutAnythingSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	g, problems := loadGate(t, "")
	wantProblems(t, problems,
		"gate.toml:1: |there is no public_url",
		"gate.toml:1: |[entra] has no tenants",
		"gate.toml:1: |[entra] has no client_id",
		"gate.toml:1: |there is no [[route]]")
	if g != nil {
		t.Error("it is usable")
	}
	g, problems = loadGate(t, trustworthy+"[[route]]\n")
	wantProblems(t, problems, "gate.toml:11: |[[route]] has no path", "gate.toml:11: |[[route]] has no upstream")
	if g != nil {
		t.Error("it is usable")
	}
}

func TestTypesOfAGateAreChecked(t *testing.T) {
	t.Parallel()
	_, problems := loadGate(t, `public_url = 1
hosts = "x"
drain = 10
body_limit = 0
entra = 1
log = []
[tls]
crt = "x"
[[route]]
path = 1
upstream = "http://127.0.0.1:9000"
upstream_http = 1.1
default = true
tools = { a = true, b = { scope = ["x"] } }
resources = []
on_behalf_of = 1
identity_headers = { X-A = 1, X-B = "oid" }
[[route]]
path = "/b"
upstream = ["http://127.0.0.1:9000"]
scopes = ["x"]
default = "allow"
on_behalf_of = { scope = ["https://a.example/x"], certificate = true, warn_consent = "no", identity = 1, scopes = "x" }
[redis]
url = 6379
password_file = true
user = "x"
`)
	wantProblems(t, problems,
		"gate.toml:1: |public_url must be a string, not an integer",
		"gate.toml:2: |hosts must be an array of strings, not a string",
		"gate.toml:3: |drain must be a duration",
		"gate.toml:4: |body_limit is 0",
		"gate.toml:5: |entra must be a table",
		"gate.toml:5: |no tenants",
		"gate.toml:5: |no client_id",
		"gate.toml:6: |log must be a table",
		`gate.toml:8: |unknown key "crt" in [tls]: did you mean "cert"?`,
		"gate.toml:10: |path must be a string",
		"gate.toml:11: |in brackets",
		"gate.toml:12: |upstream_http must be a string, not a float",
		"gate.toml:13: |default must be a string, not a boolean",
		"gate.toml:14: |a must be a table such as",
		`gate.toml:14: |unknown key "scope" in [route.tools] "b": did you mean "scopes"?`,
		"gate.toml:15: |resources must be a table, [route.resources]",
		"gate.toml:16: |on_behalf_of must be a table, [route.on_behalf_of], not an integer",
		"gate.toml:17: |X-A must be a string, not an integer",
		"gate.toml:23: |scope must be a string, not an array [several stand in one string, with blanks between them]",
		"gate.toml:23: |certificate must be a string, not a boolean",
		"gate.toml:23: |warn_consent must be true or false, not a string",
		"gate.toml:23: |identity must be a string, not an integer",
		`gate.toml:23: |unknown key "scopes" in [route.on_behalf_of]: did you mean "scope"?`,
		"gate.toml:25: |redis.url must be a string, not an integer",
		"gate.toml:26: |redis.password_file must be a string, not a boolean",
		`gate.toml:27: |unknown key "user" in [redis]`)
}

func TestUsableGateMayHaveAnotherAddress(t *testing.T) {
	t.Parallel()
	g, _ := loadGate(t, trustworthy)
	for _, addr := range []string{"127.0.0.1:0", ":9001", "10.0.0.1:9000"} {
		if err := g.OverrideListen(addr); err != nil || g.Listen != addr {
			t.Errorf("%s: %v; it listens on %s", addr, err, g.Listen)
		}
	}
	for _, addr := range []string{"9000", "", ":9000", "[::]:9000", "localhost:9000"} {
		if err := g.OverrideListen(addr); err == nil || g.Listen != "10.0.0.1:9000" {
			t.Errorf("%s: %v; it listens on %s", addr, err, g.Listen)
		}
	}
}

func TestDrainOfAGateIsADuration(t *testing.T) {
	t.Parallel()
	if g, problems := loadGate(t, "drain = \"0s\"\n"+trustworthy); g == nil || g.Drain != time.Duration(0) {
		t.Error(lines(problems))
	}
}

func TestFileOfTheOtherProgramIsNamed(t *testing.T) {
	t.Parallel()
	g, problems := loadGate(t, "listen = \"127.0.0.1:8877\"\n[entra]\ntenant = \"x\"\n[[rule]]\nurl = \"https://a.example/\"\n")
	wantProblems(t, problems, "gate.toml:4: |[[rule]] belongs in a config.toml: this is no gate.toml [injectproxy serve reads it")
	c, problems := load(t, map[string]string{"config.toml": allOfGate})
	wantProblems(t, problems, "config.toml:|[[route]] belongs in a gate.toml: this is no config.toml [injectproxy gate reads it")
	if g != nil || c != nil {
		t.Error("it is used")
	}
	_, problems = loadGate(t, "[[rule]]\n[[route]]\n") // is a gate's, with one line too many
	if text := strings.Join(lines(problems), "\n"); !strings.Contains(text, `unknown key "rule"`) {
		t.Errorf("got %s", text)
	}
}
