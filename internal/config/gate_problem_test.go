package config

import (
	"strings"
	"testing"
)

// with returns a gate.toml in which line stands in place of the one that begins
// as the first word of line does, or else in the table that is named.
func with(line, table string) string {
	key, _, _ := strings.Cut(line, " ")
	before, after, found := strings.Cut("\n"+trustworthy, "\n"+key+" =")
	if found {
		_, rest, _ := strings.Cut(after, "\n")
		return before[min(1, len(before)):] + "\n" + line + "\n" + rest
	}
	if table == "" {
		return line + "\n" + trustworthy
	}
	return strings.Replace(trustworthy, table+"\n", table+"\n"+line+"\n", 1)
}

// Each mistake is named at its line, and nothing else is said.
func TestMistakesOfAGateAreNamed(t *testing.T) {
	t.Parallel()
	const top, entra, route, tools = "", "[entra]", "[[route]]", "[route.tools]"
	for _, tt := range []struct{ table, line, want string }{
		{top, `lisen = ":1"`, `unknown key "lisen": did you mean "listen"?`},
		{top, `listen = "8080"`, "is not host:port"},
		{top, `listen = ":9000"`, "is the gate's own port: it would ask itself"},
		{top, `listen = "0.0.0.0:8079"`, "the gate itself listens on"},
		{top, `public_url = "mcp.corp.example"`, "public_url is not an absolute URL"},
		{top, `public_url = "https://mcp.corp.example/mcp"`, "public_url has a path [the origin alone: each [[route]] has its path]"},
		{top, `public_url = "https://mcp.corp.example/?x"`, "query or a fragment"},
		{top, `public_url = "https://mcp.corp.example#"`, "query or a fragment"},
		{top, `public_url = "https://u:p@mcp.corp.example"`, "public_url has userinfo"},
		{top, `public_url = "ftp://mcp.corp.example"`, "public_url must be an https URL"},
		{top, `public_url = "http://mcp.corp.example"`, "tokens would travel in the clear"},
		{top, `public_url = "http://localhost:8080"`, "warning: public_url is on this machine alone: clients elsewhere"},
		{top, `public_url = "https://127.0.0.1"`, "warning: public_url is on this machine alone"},
		{top, `public_url = "https://[::1]:8443"`, "warning: public_url is on this machine alone"},
		{top, `public_url = "https://gate.localhost"`, "warning: public_url is on this machine alone"},
		{top, `public_url = "https://"`, "public_url"},
		{top, `hosts = ["https://a.example"]`, "is not a host"},
		{top, `hosts = ["*.example"]`, "no *"},
		{top, `hosts = ["a.example", "A.example"]`, "stands there twice"},
		{top, `body_limit = "8MB"`, "is not a size"},
		{top, `drain = "soon"`, "is not a duration"},
		{top, `tls = { cert = "x" }`, "[tls] has cert and no key"},
		{top, `tls = { key = "x" }`, "[tls] has key and no cert"},
		{top, `tls = { cert = "absent.pem", key = "absent.key" }`, "tls.cert cannot be read: no such file"},
		{top, `admin = { listen = "0.0.0.0:8079" }`, "warning: admin.listen is 0.0.0.0:8079: whoever reaches it"},
		{top, `admin = { listen = "127.0.0.1:8080" }`, "the gate itself listens on :8080"},

		{entra, `tenants = []`, "[entra] has no tenants"},
		{entra, `tenants = ["corp.example"]`, "entra.tenants: number 1 is not a GUID [the tenant's GUID"},
		{entra, `tenants = ["common"]`, `entra.tenants: "common" names no single tenant`},
		{entra, `tenants = ["16b3c013-d300-468d-8c1d-000000000000", "16B3C013-d300-468d-8c1d-000000000000"]`, "stands there twice"},
		{entra, `tenants = ["58348f96-645d-4a2e-8c1d-000000000000"]`, "entra.tenants and entra.client_id have the same GUID"},
		{entra, `tenants = ["04b07795-8ddb-461a-bbee-02f9e1bf7b46"]`, "is an application, Azure CLI"},
		{entra, `tenants = ["9188040d-6c67-4c5b-b112-36a304b66dad"]`, "warning: entra.tenants: 9188040d-6c67-4c5b-b112-36a304b66dad is the tenant of all personal Microsoft accounts"},
		{entra, `client_id = "api://58348f96-645d-4a2e-8c1d-000000000000"`, "entra.client_id is an App ID URI, not a GUID"},
		{entra, `client_id = "mcp"`, "entra.client_id is not a GUID"},
		{entra, `client_id = "00000003-0000-0000-C000-000000000000"`, "entra.client_id is that of Microsoft Graph"},
		{entra, `client_id = "f8cdef31-a31e-4b4a-93e4-5f571e91255a"`, "entra.client_id is a tenant"},
		{entra, `audiences = ["16b3c013-d300-468d-8c1d-000000000000"]`, "is a tenant's, not an application's"},
		{entra, `audiences = ["00000003-0000-0000-c000-000000000000"]`, "is that of Microsoft Graph: whoever has a token for it"},
		{entra, `audiences = ["https://graph.microsoft.com/"]`, "is that of Microsoft Graph"},
		{entra, `audiences = ["58348f96-645d-4a2e-8c1d-000000000000"]`, "warning: entra.audiences: \"58348f96-645d-4a2e-8c1d-000000000000\" is an audience already"},
		{entra, `audiences = ["a b"]`, "number 1 is not a GUID or a URI"},
		{entra, `audiences = ["mcp"]`, `warning: entra.audiences: "mcp" is neither a GUID nor a URI`},
		{entra, `app_id_uri = "58348f96-645d-4a2e-8c1d-000000000000"`, "is a GUID, not a URI"},
		{entra, `app_id_uri = "mcp"`, "entra.app_id_uri is not a URI"},
		{entra, `app_id_uri = "api://mcp/"`, "ends in a slash"},
		{entra, `app_id_uri = "api://mcp/.default"`, "ends in /.default"},
		{entra, `app_id_uri = "api://16b3c013-d300-468d-8c1d-000000000000"`, "of api:// and the GUID of a tenant"},
		{entra, `clients = ["x"]`, "entra.clients: number 1 is not a GUID [the client ID of a program"},
		{entra, `clients = ["16b3c013-d300-468d-8c1d-000000000000"]`, "is in tenants, too"},
		{entra, `clients = ["58348f96-645d-4a2e-8c1d-000000000000"]`, "warning: entra.clients has the gate's own client_id"},
		{entra, `algorithms = []`, "entra.algorithms is empty"},
		{entra, `algorithms = ["HS256"]`, "lets anybody make tokens"},
		{entra, `algorithms = ["none"]`, "lets anybody make tokens"},
		{entra, `algorithms = ["RS512"]`, `is not one of "RS256" or "ES256": did you mean "RS256"?`},
		{entra, `authority_host = "http://login.microsoftonline.us/"`, "entra.authority_host is not an https URL with a host only"},
		{entra, `authority_host = "https://login.microsoftonlin.us/"`, `did you mean "login.microsoftonline.us"?`},
		{entra, `shim_client = "aa348f96-645d-4a2e-8c1d-000000000000"`, "warning: entra.shim_client has no effect without shim"},

		{route, `path = "mcp"`, "does not begin with a slash"},
		{route, `path = "/mcp/"`, `ends in a slash [write "/mcp", which`},
		{route, `path = "/mcp/*"`, "has a *"},
		{route, `path = "/a//b"`, "is not clean"},
		{route, `path = "/a/../b"`, "is not clean"},
		{route, `path = "/a%2fb"`, "in more ways than one"},
		{route, `path = "/a;b"`, "in more ways than one"},
		{route, `path = "/a\\b"`, "in more ways than one"},
		{route, `path = "/healthz"`, "is the gate's own"},
		{route, `path = "/.well-known/x"`, "is the gate's own"},
		{route, `upstream = []`, "upstream is empty"},
		{route, `upstream = ["127.0.0.1:9000"]`, "upstream is not a URL"},
		{route, `upstream = ["http://127.0.0.1:9000/?a=b"]`, "upstream has a query"},
		{route, `upstream = ["http://127.0.0.1:9000/#"]`, "upstream has a query or a fragment"},
		{route, `upstream = ["http://u@127.0.0.1:9000/"]`, "upstream has userinfo"},
		{route, `upstream = ["http://127.0.0.1:9000/a/../b"]`, "upstream has a path that is not clean"},
		{route, `upstream = ["http://127.0.0.1:9000//"]`, "upstream has a path that is not clean"},
		{route, `upstream = ["unix:///run/mcp"]`, "upstream must be an http or https URL"},
		{route, `upstream = ["http://127.0.0.1:9000", "http://127.0.0.1:9000"]`, "stands there twice"},
		{route, `upstream = ["http://localhost:8080/x"]`, "is the gate's own port"},
		{route, `upstream = ["https://MCP.corp.example:443/x"]`, "is the gate's own public_url"},
		{route, `upstream = ["http://server.example:9000"]`, "warning: upstream http://server.example:9000: what callers and the server say travels in the clear"},
		{route, `upstream_http = "h2"`, `did you mean "2"?`},
		{route, `upstream_http = "2"`, "which is agreed on by TLS"},
		{route, `upstream_host = "http://localhost:9000"`, `upstream_host: "http://localhost:9000" is not a host, with or without a port`},
		{route, `upstream_host = "*.internal"`, "is not a host"},
		{route, `upstream_host = 9000`, "upstream_host must be a string"},
		{route, `mode = "strikt"`, `did you mean "strict"?`},
		{route, `mode = "optional"`, "warning: route /mcp: mode = \"optional\" lets anonymous callers in, and nothing is open to them"},
		{route, `scopes = []`, "warning: route /mcp has neither scopes nor roles"},
		{route, `scopes = ["a b"]`, "is more than one name"},
		{route, `scopes = [""]`, "is empty"},
		{route, `scopes = ["a", "api://58348f96-645d-4a2e-8c1d-000000000000/a"]`, "stands there twice"},
		{route, `scopes = ["https://graph.microsoft.com/User.Read"]`, "is of another application"},
		{route, `scopes = ["api://58348f96-645d-4a2e-8c1d-000000000000/.default"]`, "is what clients ask for"},
		{route, `scopes = ["openid"]`, "is never in a token for your application"},
		{route, `roles = ["a\"b"]`, "characters that no name in a token has"},
		{route, `origins = ["*"]`, `origins: "*" would let every page`},
		{route, `origins = ["null"]`, "every sandboxed frame"},
		{route, `origins = ["https://a.example/"]`, `no browser sends one [write "https://a.example"]`},
		{route, `origins = ["https://a.example/x"]`, "has a path"},
		{route, `origins = ["a.example"]`, "is not an absolute URL"},
		{route, `origins = ["https://a.example", "https://A.example:443"]`, "stands there twice"},
		{route, `default = "block"`, "default must be"},
		{route, `resources = { "x" = { roles = ["R"] } }`, "warning: pattern \"x\" matches no resource"},

		{tools, `"" = {}`, "a pattern in [route.tools] is empty"},
		{tools, `"a\u0000" = {}`, "has a control character"},
		{tools, `cost.read = { roles = ["R"] }`, `"cost.read" is cut in two at its dot`},
	} {
		text := with(tt.line, tt.table)
		if tt.table == tools && strings.HasPrefix(tt.line, "cost.") {
			text = strings.Replace(trustworthy, `cost = { scopes = ["cost.read"] }`, tt.line, 1)
		}
		g, problems := loadGate(t, text)
		got := lines(problems)
		if len(got) != 1 || !strings.Contains(got[0], tt.want) {
			t.Errorf("%s\n  got  %s\n  want %s", tt.line, strings.Join(got, "\n       "), tt.want)
			continue
		}
		if p := problems[0]; p.Warning != (g != nil) {
			t.Errorf("%s: warning %v, usable %v", tt.line, p.Warning, g != nil)
		}
		about := tt.table == route && strings.Contains(tt.want, "route /mcp") || strings.Contains(tt.want, "the gate's own p") // another line's
		if at := 1 + strings.Count(text[:strings.Index(text, tt.line)], "\n"); problems[0].Line != at && !about {
			t.Errorf("%s: it is at line %d, and %d is named", tt.line, at, problems[0].Line)
		}
	}
}

func TestMistakesOfAGateThatTakeTwoLinesAreNamed(t *testing.T) {
	t.Parallel()
	const second = "[[route]]\nupstream = [\"http://127.0.0.1:9001\"]\nroles = [\"R\"]\ndefault = \"allow\"\n"
	for _, tt := range []struct{ more, want string }{
		{second + `path = "/mcp"`, "gate.toml:11: path /mcp is taken by the route at "},
		{second + `path = "/MCP"`, "gate.toml:11: path /MCP is that of the route at "},
		{`"a*" = {}` + "\n" + `"a**" = {}`, `gate.toml:12: pattern "a**" covers the same as the one at `},
		{second + "path = \"/b\"\nupstream_http = \"h2c\"", ""},
		{second + "path = \"/mcp/deeper\"", ""},
		{second + "path = \"/token\"", ""},
		{"[[route]]\npath = \"/b\"\nupstream = [\"https://a.example\"]\nupstream_http = \"h2c\"\nroles = [\"R\"]\ndefault = \"allow\"", `gate.toml:14: upstream_http is "h2c", which is HTTP/2 without TLS, and upstream number 1`},
		{"[[route]]\npath = \"/b\"\nupstream = [\"http://127.0.0.1:1\"]\nroles = [\"R\"]", "gate.toml:11: warning: route /b: nobody may call any tool [name them in [route.tools]"},
		{"[[route]]\npath = \"/b\"\nupstream = [\"http://127.0.0.1:1\"]\ndefault = \"allow\"", "gate.toml:11: warning: route /b has neither scopes nor roles"},
	} {
		_, problems := loadGate(t, trustworthy+tt.more+"\n")
		if got := strings.Join(lines(problems), "\n"); tt.want == "" && got != "" || !strings.HasPrefix(got, tt.want) || len(problems) > 1 {
			t.Errorf("%s\n  got  %s\n  want %s", tt.more, got, tt.want)
		}
	}
}

// With the shim the gate has more paths of its own, and its client has to be one
// that is let in.
func TestShimIsHeldAgainstTheRest(t *testing.T) {
	t.Parallel()
	shim := strings.Replace(trustworthy, "[entra]\n", "[entra]\nshim = true\n", 1)
	g, problems := loadGate(t, shim)
	wantProblems(t, problems)
	if g == nil || g.Entra.ShimClient != g.Entra.ClientID {
		t.Errorf("%+v", g)
	}
	_, problems = loadGate(t, strings.Replace(shim, `"/mcp"`, `"/token"`, 1))
	wantProblems(t, problems, "gate.toml:7: |is the gate's own")
	_, problems = loadGate(t, strings.Replace(shim, "shim = true", `shim = true
shim_client = "bb348f96-645d-4a2e-8c1d-000000000000"
clients = ["aa348f96-645d-4a2e-8c1d-000000000000"]`, 1))
	wantProblems(t, problems, "gate.toml:4: |the tokens that it gets are refused")
}
