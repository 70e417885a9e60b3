package main

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/verify"
)

const (
	sampleTenant = "16b3c013-d300-468d-8c1d-000000000000"
	sampleClient = "58348f96-645d-4a2e-8c1d-000000000000"
	sampleAzp    = "aa348f96-645d-4a2e-8c1d-000000000000"
	sampleOID    = "cc348f96-645d-4a2e-8c1d-000000000000"
)

// sampleGate is a gate with one route for a scope and one for a role.
func sampleGate() *config.Gate {
	server := []*url.URL{{Scheme: "http", Host: "127.0.0.1:9000"}}
	return &config.Gate{
		PublicURL: &url.URL{Scheme: "https", Host: "mcp.corp.example"},
		Entra: config.GateEntra{
			Tenants: []string{sampleTenant}, ClientID: sampleClient, AppIDURI: "api://mcp", Algorithms: []string{"RS256"},
			Audiences: []string{sampleClient, "api://" + sampleClient, "api://mcp"},
		},
		Routes: []config.GateRoute{
			{Path: "/mcp", Upstreams: server, Mode: "strict", Scopes: []string{"use"}, Allow: true},
			{Path: "/jobs", Upstreams: server, Mode: "strict", Roles: []string{"Job"}, Allow: true},
		},
	}
}

// sampleToken is a token that says what changes make of a good one, which a user
// has for another hour. It is signed by nobody.
func sampleToken(now time.Time, changes map[string]any) string {
	header := map[string]any{"alg": "RS256", "typ": "JWT", "kid": "k"}
	claims := map[string]any{
		"ver": "2.0", "iss": "https://login.microsoftonline.com/" + sampleTenant + "/v2.0", "tid": sampleTenant, "aud": sampleClient,
		"azp": sampleAzp, "oid": sampleOID, "scp": "use", "exp": now.Add(time.Hour).Unix(), "nbf": now.Unix(),
	}
	for name, value := range changes {
		into := claims
		if rest, ok := strings.CutPrefix(name, "header "); ok {
			into, name = header, rest
		}
		if into[name] = value; value == nil {
			delete(into, name)
		}
	}
	part := func(v any) string {
		data, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(data)
	}
	return part(header) + "." + part(claims) + ".c2lnbmF0dXJl"
}

// Each thing that is wrong with a token is named by the setting that it does not
// meet, and what the verifier refuses is an error, and nothing else but a token
// without permissions.
func TestSampleIsHeldAgainstTheConfiguration(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	v1 := func(more map[string]any) map[string]any {
		m := map[string]any{"ver": "1.0", "iss": "https://sts.windows.net/" + sampleTenant + "/", "azp": nil, "appid": sampleAzp}
		for name, value := range more {
			m[name] = value
		}
		return m
	}
	for _, tt := range []struct {
		name    string
		changes map[string]any
		clients []string
		want    string // of the first problem and its hint; "" for none
		routes  string // that let it in
	}{
		{"good", nil, nil, "", "/mcp"},
		{"good, v1, by URI", v1(map[string]any{"aud": "api://mcp"}), []string{sampleAzp}, "", "/mcp"},
		{"a managed identity", map[string]any{"scp": nil, "roles": []string{"Job"}}, nil, "", "/jobs"},
		{"one audience in a list", map[string]any{"aud": []string{sampleClient}}, nil, "", "/mcp"},
		{"several audiences", map[string]any{"aud": []string{"x", sampleClient}}, nil, "aud names several audiences", "/mcp"},
		{"bound to a key", map[string]any{"cnf": map[string]any{"kid": "x"}}, nil, "bound to a key by cnf", "/mcp"},
		{"neither", map[string]any{"scp": nil}, nil, "neither scp nor roles", ""},
		{"another tenant", map[string]any{"tid": sampleOID}, nil, "tid is \"" + sampleOID + "\", which is not in tenants", "/mcp"},
		{"personal accounts", map[string]any{"tid": "9188040d-6c67-4c5b-b112-36a304b66dad"}, nil, "of all personal Microsoft accounts", "/mcp"},
		{"no tenant", map[string]any{"tid": nil}, nil, "no tid", "/mcp"},
		{"client in tenants", map[string]any{"tid": sampleOID, "azp": sampleTenant}, nil, "tenants has the token's azp: put its tid there", "/mcp"},
		{"another audience", map[string]any{"aud": "api://other"}, nil, `audiences = ["api://other"] in [entra]`, "/mcp"},
		{"slash", map[string]any{"aud": "api://mcp/"}, nil, "differ in a slash", "/mcp"},
		{"case", map[string]any{"aud": "api://MCP"}, nil, "differ in a slash at the end or in case", "/mcp"},
		{"management", map[string]any{"aud": "https://management.core.windows.net/"}, nil, "it is a token for Azure Resource Manager", "/mcp"},
		{"graph", map[string]any{"aud": "00000003-0000-0000-c000-000000000000"}, nil, "it is a token for Microsoft Graph", "/mcp"},
		{"no audience", map[string]any{"aud": nil}, nil, "it has no aud", "/mcp"},
		{"audience in clients", map[string]any{"aud": sampleAzp}, []string{sampleAzp}, "clients has it, and aud is whom", "/mcp"},
		{"another client", nil, []string{sampleTenant}, "azp is \"" + sampleAzp + "\", which is not in clients", "/mcp"},
		{"object id in clients", nil, []string{sampleOID}, "clients has the token's oid", "/mcp"},
		{"az", v1(map[string]any{"appid": "04b07795-8ddb-461a-bbee-02f9e1bf7b46"}), []string{sampleAzp}, "it is Azure CLI", "/mcp"},
		{"ID token", map[string]any{"azp": nil}, nil, "it is no access token, but an ID token", "/mcp"},
		{"no object", map[string]any{"oid": nil}, nil, "no oid", "/mcp"},
		{"expired", map[string]any{"exp": now.Add(-90 * time.Minute).Unix()}, nil, "expired at 2026-05-01T10:30:00Z, 1h30m0s ago", "/mcp"},
		{"within the leeway", map[string]any{"exp": now.Add(-59 * time.Second).Unix(), "nbf": now.Add(59 * time.Second).Unix()}, nil, "", "/mcp"},
		{"future", map[string]any{"nbf": now.Add(time.Hour).Unix()}, nil, "is not valid before 2026-05-01T13:00:00Z", "/mcp"},
		{"no end", map[string]any{"exp": nil}, nil, "exp is no date", "/mcp"},
		{"text for a date", map[string]any{"exp": "1e9"}, nil, "exp is no date", "/mcp"},
		{"another issuer", map[string]any{"iss": "https://evil.example"}, nil, "issuer of the token is not https://login.microsoftonline.com/", "/mcp"},
		{"v1 issuer of v2", map[string]any{"iss": "https://sts.windows.net/" + sampleTenant + "/"}, nil, "issuer of the token is not", "/mcp"},
		{"HS256", map[string]any{"header alg": "HS256"}, nil, `alg is "HS256", and algorithms has RS256`, "/mcp"},
		{"none", map[string]any{"header alg": "none"}, nil, `alg is "none"`, "/mcp"},
		{"no key", map[string]any{"header kid": nil}, nil, "does not name the key", "/mcp"},
		{"scp as a list", map[string]any{"scp": []string{"use"}}, nil, "neither scp nor roles", ""},
		{"terminal", map[string]any{"aud": "\x1b[2Jx\n"}, nil, `aud is "\x1b[2Jx\n"`, "/mcp"},
	} {
		cfg := sampleGate()
		cfg.Entra.Clients = tt.clients
		token := sampleToken(now, tt.changes)
		s := inspectSample(cfg, token, now)
		got, routes := "", []string{}
		for _, p := range s.problems {
			got += p.String() + " [" + p.Hint + "]\n"
		}
		for _, r := range s.Routes {
			if r.Admits {
				routes = append(routes, r.Path)
			}
		}
		var shown strings.Builder
		if err := s.print(&shown); err != nil || strings.ContainsAny(shown.String(), "\x1b\r") || strings.Count(shown.String(), "\n") != 1+len(s.Claims)+len(s.Routes) {
			t.Errorf("%s: %v, %q", tt.name, err, shown.String())
		}
		if tt.want == "" && got != "" || !strings.Contains(got, tt.want) || strings.Join(routes, " ") != tt.routes || strings.Contains(got, "\x1b") {
			t.Errorf("%s: let in by %v; %s\nwant %s", tt.name, routes, got, tt.want)
		}
		_, err := verify.Inspect(verify.Options{
			Tenants: cfg.Entra.Tenants, Audiences: cfg.Entra.Audiences, Clients: cfg.Entra.Clients, Now: func() time.Time { return now },
		}, token)
		if refused := s.refused(); refused != (err != nil) && tt.name != "neither" {
			t.Errorf("%s: refused %v, and the verifier says %v", tt.name, refused, err)
		}
	}
}

// Of what is no token nothing is repeated.
func TestSampleThatIsNoTokenIsNotRepeated(t *testing.T) {
	t.Parallel()
	const secret = "Canary7f3a9c51"
	for _, text := range []string{
		secret, secret + "." + secret + "." + secret, "e30." + secret + ".x", "." + "." + secret, "a.b.c.d." + secret, "bnVsbA.bnVsbA." + secret,
		sampleToken(time.Now(), nil) + "." + secret,
	} {
		s := inspectSample(sampleGate(), text, time.Now())
		var b strings.Builder
		if err := s.print(&b); err != nil || !s.refused() {
			t.Errorf("%q: %v, %+v", text, err, s.problems)
		}
		for _, p := range s.problems {
			b.WriteString(p.String() + p.Hint)
		}
		if strings.Contains(b.String(), secret[:8]) {
			t.Errorf("%q is shown by %s", text, b.String())
		}
	}
}

func TestSampleIsReadAsToolsPrintIt(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		" a.b.c \n":    "a.b.c",
		"Bearer a.b.c": "a.b.c",
		`{"accessToken": "a.b.c", "tokenType": "Bearer"}`: "a.b.c",
		"{broken": "{broken",
	} {
		if got, err := readSample("-", strings.NewReader(text)); got != want || err != nil {
			t.Errorf("%q is read as %q, %v", text, got, err)
		}
	}
	for _, text := range []string{"", " \n", strings.Repeat("a", mostSample+1)} {
		if got, err := readSample("-", strings.NewReader(text)); err == nil {
			t.Errorf("%d bytes are read as %q", len(text), got)
		}
	}
}

// Whether a token could be exchanged is said as the gate would say it when it came;
// and of an audience that may be another application's, that Entra may not.
func TestSampleSaysWhetherItCouldBeExchanged(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	const graph = "https://graph.microsoft.com/User.Read"
	for _, tt := range []struct {
		name    string
		changes map[string]any
		route   string // what is said of it
		problem string
	}{
		{"user", nil, "lets it in, and exchanges it for " + graph, ""},
		{"6 minutes", map[string]any{"exp": now.Add(6 * time.Minute).Unix()}, "lets it in, and exchanges it for " + graph, ""},
		{"4 minutes", map[string]any{"exp": now.Add(4 * time.Minute).Unix()}, "refuses it: The access token ends too soon", ""},
		{"expired", map[string]any{"exp": now.Add(-2 * time.Minute).Unix()}, "would let it in, were it not for the above", "it expired at"},
		{"application", map[string]any{"scp": nil, "roles": []string{"Job"}}, "refuses it: This MCP server is used on behalf of users, and the caller is an application", ""},
		{"other audience", map[string]any{"aud": "api://old"}, "lets it in, and exchanges it for " + graph, `aud is "api://old": it can be exchanged only if that is another name of client_id (AADSTS50013)`},
		{"other audience, refused", map[string]any{"aud": "api://old", "scp": "else"}, "refuses it: ", ""},
	} {
		cfg := sampleGate()
		cfg.Entra.Audiences = append(cfg.Entra.Audiences, "api://old")
		cfg.Routes[0].Roles = []string{"Job"}
		cfg.Routes[0].OnBehalfOf = &config.GateOnBehalfOf{Scopes: []string{graph}, Federated: "workload-identity"}
		s := inspectSample(cfg, sampleToken(now, tt.changes), now)
		var shown strings.Builder
		if err := s.print(&shown); err != nil || !strings.Contains(shown.String(), "\nroute /mcp "+tt.route) {
			t.Errorf("%s: %v, %s\nwant %s", tt.name, err, shown.String(), tt.route)
		}
		got := ""
		for _, p := range s.problems {
			got += p.String()
		}
		if tt.problem == "" && got != "" || !strings.Contains(got, tt.problem) {
			t.Errorf("%s: %s\nwant %s", tt.name, got, tt.problem)
		}
	}
}
