//go:build unix

package main

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

var (
	ada = entratest.User{ObjectID: "0b1c2d3e-4f50-4617-8293-a4b5c6d7e8f9", Username: "ada@corp.example", Name: "Ada"}
	bob = entratest.User{ObjectID: "1c2d3e4f-5061-4728-83a4-b5c6d7e8f901", Username: "bob@corp.example", Name: "Bob"}
)

// bySecret is how the gate of a test says who it is, if nothing else is tested.
const bySecret = `secret_file = "obo.secret"`

// newBehalfWorld is newGateWorld with a route that calls on behalf of users, by the
// credential that the lines say, and lets them call each tool.
func newBehalfWorld(t testing.TB, top, credential string, change ...func(*entratest.Options)) *gateWorld {
	t.Helper()
	return newBehalfRoute(t, top, `default = "allow"`, credential, change...)
}

// newBehalfRoute is newBehalfWorld with keys of the route in place of that leave.
func newBehalfRoute(t testing.TB, top, keys, credential string, change ...func(*entratest.Options)) *gateWorld {
	t.Helper()
	const table = "\nscopes = [\"access_as_user\"]\n[route.on_behalf_of]\nscope = \"" + graphAPI + "/User.Read\"\n"
	w := newGateWorld(t, top, keys+table+credential, append([]func(*entratest.Options){func(o *entratest.Options) {
		o.Clients = append(o.Clients, entratest.Client{ID: apiOne, Secrets: []string{testSecret}})
		o.Resources = append(o.Resources, entratest.Graph())
	}}, change...)...)
	writeTestFile(t, filepath.Join(w.home, "obo.secret"), testSecret+"\n")
	return w
}

// token returns a token of a user for the gate, with further claims.
func (w *gateWorld) token(u entratest.User, claims map[string]any) string {
	w.t.Helper()
	token, err := w.entra.Issue(entratest.Grant{Client: testClient, Audience: apiOne, Scopes: []string{"access_as_user"}, User: &u, Claims: claims})
	must(w.t, err)
	return token
}

// exchanges returns how often the authority was asked to exchange a token of u.
func (w *gateWorld) exchanges(u entratest.User) int {
	return w.entra.Count(entratest.Request{Endpoint: entratest.TokenEndpoint, Grant: entratest.OnBehalfOf, User: u.ObjectID})
}

// begins posts the beginning of a session to the gate.
func begins(t testing.TB, c *http.Client, token string) reply {
	t.Helper()
	const body = `{"jsonrpc":"2.0","id":7,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"agent","version":"1"}}}`
	return call(t, bearing(c, token), "POST", gateURL+"/mcp", strings.NewReader(body),
		"Content-Type", "application/json", "Accept", "application/json, text/event-stream")
}

// renewed shows the token that it holds at the moment.
type renewed struct {
	next  http.RoundTripper
	token atomic.Pointer[string]
}

// RoundTrip implements [http.RoundTripper].
func (b *renewed) RoundTrip(r *http.Request) (*http.Response, error) {
	return bearer{b.next, *b.token.Load()}.RoundTrip(r)
}

// Two users call over one connection, each in several sessions, with tokens that
// are renewed under way. Whoever is asked is asked for the one who asks.
func TestTwoUsersInParallelNeverGetEachOthersTokens(t *testing.T) {
	t.Parallel()
	const sessions, renewals = 4, 5
	calls := 100 // of each user
	if os.Getenv("INJECTPROXY_REQUIRE_ALL") != "" {
		calls = 1000
	}
	w := newBehalfWorld(t, `drain = "0s"`, bySecret)
	d := w.start()
	w.ready(d.addr)
	c := w.client(d.addr)
	shown := map[string]bool{}
	var running sync.WaitGroup
	defer running.Wait()
	for _, u := range []entratest.User{ada, bob} {
		tokens := make([]string, renewals)
		for i := range tokens {
			tokens[i] = w.token(u, map[string]any{"uti": fmt.Sprint(u.Name, i)})
			shown["Bearer "+tokens[i]] = true
		}
		for range sessions {
			b := &renewed{next: c.Transport}
			b.token.Store(&tokens[0])
			s := connectGate(t, &http.Client{Transport: b, Timeout: guard})
			running.Go(func() {
				for i := range calls / sessions {
					b.token.Store(&tokens[i*renewals*sessions/calls])
					if got := whoAnswers(t.Context(), s); got != u.ObjectID {
						t.Errorf("call %d of %s was made for %s", i, u.Name, got)
						return
					}
				}
			})
		}
	}
	running.Wait()
	for _, u := range []entratest.User{ada, bob} {
		if n := w.exchanges(u); n != renewals {
			t.Errorf("%d tokens of %s were exchanged, want each of %d once", n, u.Name, renewals)
		}
	}
	for _, h := range w.sent() {
		if got := h.Get("Authorization"); got == "" || shown[got] {
			t.Fatal("the server was shown the caller's own token, or none")
		}
	}
}

// whoAnswers is says of the tool who, for any goroutine.
func whoAnswers(ctx context.Context, s *mcp.ClientSession) string {
	res, err := s.CallTool(ctx, &mcp.CallToolParams{Name: "who"})
	if err != nil {
		return "error: " + err.Error()
	}
	if text, ok := res.Content[0].(*mcp.TextContent); ok {
		return text.Text
	}
	return "something else"
}

// claimsOf returns the challenge of an answer.
func claimsOf(t testing.TB, r reply) string {
	t.Helper()
	m := regexp.MustCompile(`^Bearer .*error="insufficient_claims".*claims="([^"]+)"`).FindStringSubmatch(r.header.Get("WWW-Authenticate"))
	if m == nil {
		t.Fatalf("%d %s\n%s", r.status, r.header.Get("WWW-Authenticate"), r.body)
	}
	claims, err := base64.StdEncoding.DecodeString(m[1])
	must(t, err)
	return string(claims)
}

func TestConditionalAccessHoldsUpTheUserWhomItConcerns(t *testing.T) {
	t.Parallel()
	w := newBehalfWorld(t, `drain = "0s"`, bySecret)
	d := w.start()
	w.ready(d.addr)
	c := w.client(d.addr)
	others := connectGate(t, bearing(c, w.token(bob, nil)))
	must(t, w.entra.RequireContext(ada.ObjectID, graphAPI, "c1"))
	for range 3 {
		r := begins(t, c, w.token(ada, nil))
		r.wantStatus(t, http.StatusForbidden)
		if got := claimsOf(t, r); got != entratest.ContextClaims("c1") {
			t.Errorf("claims %s", got)
		}
		if got := says(t, others, "who"); got != bob.ObjectID {
			t.Errorf("%s answers", got)
		}
	}
	s := connectGate(t, bearing(c, w.token(ada, map[string]any{"acrs": []string{"c1"}}))) // has met it
	if got := says(t, s, "who"); got != ada.ObjectID {
		t.Errorf("%s answers", got)
	}
}

func TestEachCredentialGetsTokensOnBehalfOfUsers(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		lines string // of gate.toml
		trust func(*entratest.Client)
		env   func(*gateWorld) map[string]string
	}{
		"secret":      {lines: bySecret},
		"certificate": {`certificate = "` + testCertificate().file(t) + `"`, func(c *entratest.Client) { c.Certificates = []*x509.Certificate{testCertificate().cert} }, nil},
		"managed identity": {"federated = \"managed-identity\"\nidentity = \"" + machineClient + "\"", func(c *entratest.Client) { c.Federated = []entratest.Federation{{Identity: machineClient}} },
			func(w *gateWorld) map[string]string { return w.entra.IdentityEnv() }},
		"workload identity": {`federated = "workload-identity"`, func(c *entratest.Client) { c.Federated = []entratest.Federation{{}} }, func(w *gateWorld) map[string]string {
			assertion, err := w.entra.Assertion(apiOne)
			must(t, err)
			file := filepath.Join(w.home, "assertion")
			writeTestFile(t, file, assertion)
			return map[string]string{"AZURE_FEDERATED_TOKEN_FILE": file}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newBehalfWorld(t, `drain = "0s"`, tt.lines, func(o *entratest.Options) {
				o.Clients = append(o.Clients, entratest.Client{ID: machineClient, Managed: true})
				if tt.trust != nil {
					o.Clients[0].Secrets = nil
					tt.trust(&o.Clients[0])
				}
			})
			var env []string
			if tt.env != nil {
				for name, value := range tt.env(w) {
					env = append(env, name+"="+value)
				}
			}
			d := w.startIn(env)
			w.ready(d.addr)
			if got := says(t, connectGate(t, bearing(w.client(d.addr), w.token(ada, nil))), "who"); got != ada.ObjectID {
				t.Errorf("%s answers:\n%s", got, d.log)
			}
		})
	}
}

func TestTokenNearItsEndIsNotExchangedAndTheClientIsToldWhy(t *testing.T) {
	t.Parallel()
	w := newBehalfWorld(t, `drain = "0s"`, bySecret)
	d := w.start()
	w.ready(d.addr)
	r := begins(t, w.client(d.addr), w.token(ada, map[string]any{"exp": time.Now().Add(4 * time.Minute).Unix()}))
	r.wantStatus(t, http.StatusUnauthorized)
	if got := r.header.Get("WWW-Authenticate"); !strings.Contains(got, `error="invalid_token"`) || !strings.Contains(got, "5 min") {
		t.Errorf("WWW-Authenticate: %s", got)
	}
	if n := w.exchanges(ada); n != 0 || len(w.sent()) > 0 {
		t.Errorf("%d exchanges, %d requests to the server", n, len(w.sent()))
	}
}

// Who runs the gate is told what nobody has consented to, or that it cannot be
// known. The gate serves in any case.
func TestGateSaysWhatNobodyHasConsentedToAndServes(t *testing.T) {
	t.Parallel()
	reader := []string{"Directory.Read.All"}
	for name, tt := range map[string]struct {
		roles    []string
		consents []entratest.Consent
		said     []string
		silent   bool
		status   int
	}{
		"missing":       {reader, []entratest.Consent{}, []string{"level=WARN", "User.Read", "/adminconsent with the query client_id=" + apiOne}, false, http.StatusForbidden},
		"may not look":  {nil, []entratest.Consent{}, []string{"level=WARN", "cannot be checked", "DelegatedPermissionGrant.Read.All"}, false, http.StatusForbidden},
		"there":         {reader, []entratest.Consent{{Resource: graphAPI, Scopes: []string{"User.Read"}}}, []string{"level=DEBUG", "are consented to"}, false, http.StatusOK},
		"not looked at": {reader, []entratest.Consent{}, nil, true, http.StatusForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lines := bySecret
			if tt.silent {
				lines += "\nwarn_consent = false"
			}
			w := newBehalfWorld(t, `drain = "0s"`, lines, func(o *entratest.Options) {
				o.Clients[0].Consents = tt.consents
				o.Resources[len(o.Resources)-1].Roles = tt.roles
			})
			d := w.start("--log-level", "debug")
			w.ready(d.addr)
			if tt.said != nil {
				d.log.wait(t, tt.said...)
			}
			c := w.client(d.addr)
			call(t, c, "GET", gateURL+"/readyz", nil).wantStatus(t, http.StatusOK)
			r := begins(t, c, w.token(ada, nil))
			if tt.status == http.StatusOK {
				r.wantStatus(t, http.StatusOK)
			} else if !strings.Contains(r.body, "onsent") || r.status >= 500 || r.status == http.StatusUnauthorized {
				t.Errorf("%d %s", r.status, r.body)
			} else {
				d.log.wait(t, "level=WARN", "AADSTS65001", "User.Read", "/adminconsent with the query client_id="+apiOne)
			}
			d.signal(syscall.SIGTERM)
			d.stopped()
			if asked := w.entra.Count(entratest.Request{Endpoint: entratest.GraphEndpoint}); (asked == 0) != tt.silent {
				t.Errorf("Graph was asked %d times", asked)
			}
			if tt.status == http.StatusOK && lineWith(d.log.String(), "level=WARN") != "" {
				t.Errorf("warned:\n%s", d.log)
			}
		})
	}
}

func TestCallersWhoseTokensAreHeldAreServedWhileEntraIsAway(t *testing.T) {
	t.Parallel()
	w := newBehalfWorld(t, "drain = \"0s\"\n[admin]\nlisten = \"127.0.0.1:"+freePort(t)+"\"", bySecret)
	d := w.start()
	w.ready(d.addr)
	c := w.client(d.addr)
	s := connectGate(t, bearing(c, w.token(ada, nil)))
	w.entra.Down()
	if got := says(t, s, "who"); got != ada.ObjectID {
		t.Errorf("%s answers", got)
	}
	r := begins(t, c, w.token(bob, nil))
	r.wantStatus(t, http.StatusServiceUnavailable)
	if r.header.Get("Retry-After") == "" {
		t.Errorf("%v", r.header)
	}
	d.log.wait(t, "msg=request", "exchange=unavailable") // it is counted before
	page := gatePage(t, d)
	wantMetrics(t, readSeries(t, call(t, http.DefaultClient, "GET", page+"metrics", nil).body), map[string]float64{
		`gate_exchanges_total{result="unavailable",route="/mcp"}`: 1, `gate_exchanges_total{result="policy",route="/mcp"}`: 0, `gate_exchange_requests_total{result="ok"}`: 1,
	})
	w.entra.Up()
	soon(t, "the gate does not find that Entra is back", func() bool { return begins(t, c, w.token(bob, nil)).status == http.StatusOK })
}

// canaries are the secrets of a gate that calls on behalf of users: its own, what
// it was shown, and what that was exchanged for.
func (w *gateWorld) canaries(shown ...string) map[string]string {
	secrets := map[string]string{"secret of the gate": testSecret}
	for i, token := range shown {
		secrets[fmt.Sprint("token ", i)] = token
		secrets[fmt.Sprint("signature ", i)] = token[strings.LastIndex(token, ".")+1:]
	}
	for i, h := range w.sent() {
		if token, ok := strings.CutPrefix(h.Get("Authorization"), "Bearer "); ok {
			secrets[fmt.Sprint("exchanged token ", i)] = token
			secrets[fmt.Sprint("its signature ", i)] = token[strings.LastIndex(token, ".")+1:]
		}
	}
	return secrets
}

func TestNoExchangedTokenIsInWhatAGateSays(t *testing.T) {
	t.Parallel()
	w := newBehalfWorld(t, "drain = \"0s\"\n[log]\naudit = \"audit.jsonl\"\n[admin]\nlisten = \"127.0.0.1:"+freePort(t)+"\"", bySecret)
	d := w.start("--log-level", "debug")
	w.ready(d.addr)
	c := w.client(d.addr)
	good, challenged, refused := w.token(ada, nil), w.token(bob, nil), w.token(entratest.User{ObjectID: uuid.NewString(), Username: "eve@corp.example"}, nil)
	s := connectGate(t, bearing(c, good))
	if got := says(t, s, "who"); got != ada.ObjectID {
		t.Errorf("%s answers", got)
	}
	must(t, w.entra.RequireContext(bob.ObjectID, graphAPI, "c1"))
	said := ""
	for _, token := range []string{challenged, refused} {
		r := begins(t, c, token)
		said += r.body + strings.Join(r.header.Values("WWW-Authenticate"), "")
		must(t, w.entra.SetConsents(apiOne, []entratest.Consent{})) // of the next
	}
	d.log.wait(t, "msg=request", "exchange=challenged") // they are counted before
	d.log.wait(t, "msg=request", "exchange=consent")
	page := gatePage(t, d)
	for _, path := range []string{"metrics", "status.json"} {
		said += call(t, http.DefaultClient, "GET", page+path, nil).body
	}
	status, code := runToEnd(t, w.home, nil, "status", "--address", strings.TrimSuffix(strings.TrimPrefix(page, "http://"), "/"))
	if code != 0 || lineWith(status, "/mcp", "challenged", "1") == "" || lineWith(status, "/mcp", "consent", "1") == "" || lineWith(status, "/mcp", "ok") == "" {
		t.Errorf("exit status %d:\n%s", code, status)
	}
	must(t, s.Close())
	d.signal(syscall.SIGTERM)
	d.stopped()
	secrets, audit := w.canaries(good, challenged, refused), w.read("audit.jsonl")
	if len(secrets) < 9 {
		t.Fatal("no token was exchanged")
	}
	for where, text := range map[string]string{"answers": said, "status": status, "log": d.log.String(), "audit": audit} {
		if found := leaks(text, secrets); found != nil {
			t.Errorf("%s: %q in\n%s", where, found, text)
		}
	}
	results := map[string]bool{}
	for _, l := range gateLines(t, audit) {
		results[l.Exchange] = true
	}
	if want := map[string]bool{"ok": true, "challenged": true, "consent": true}; !maps.Equal(results, want) {
		t.Errorf("audited %v:\n%s", results, audit)
	}
}

// The gate's challenge is one that serve understands: it has somebody sign in for a
// token that meets it, and sends the call once more.
func TestServeAnswersTheGatesClaimsChallenge(t *testing.T) {
	t.Parallel()
	w := newBehalfWorld(t, `drain = "0s"`, bySecret)
	port := freePort(t)
	file := filepath.Join(w.home, "gate.toml")
	writeTestFile(t, file, "hosts = [\""+gateHost+":"+port+"\"]\n"+w.read("gate.toml"))
	d := w.start("--listen", "127.0.0.1:"+port)
	w.ready(d.addr)
	must(t, w.entra.RequireContext(ada.ObjectID, graphAPI, "c1"))

	target := "https://" + gateHost + ":" + port + "/mcp"
	b := newTestbed(t, settings{entra: w.entra, tables: autoLogin + azAudience + rule(target, `kind = "mcp"`)})
	az := b.az(w.entra)
	az.version = "2.80.1"
	before, after := w.token(ada, nil), w.token(ada, map[string]any{"acrs": []string{"c1"}})
	az.plays(func(r *azRun) {
		if !r.is("account", "get-access-token") {
			az.usual(r)
			return
		}
		token := before
		if len(az.all("login")) > 0 {
			token = after
		}
		r.ends(fmt.Sprintf(`{"accessToken": %q, "expires_on": %d, "tokenType": "Bearer"}`, token, time.Now().Add(time.Hour).Unix()), "", 0)
	})
	client := mcp.NewClient(&mcp.Implementation{Name: "agent", Version: "1"}, nil)
	s, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: target, HTTPClient: b.client("h2"), DisableStandaloneSSE: true}, nil)
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, b.log, d.log)
	}
	if got := says(t, s, "who"); got != ada.ObjectID {
		t.Errorf("%s answers", got)
	}
	must(t, s.Close())
	az.wantRuns(t, 1, "login")
	if got, want := az.all("login")[0].value("--claims-challenge"), base64.StdEncoding.EncodeToString([]byte(entratest.ContextClaims("c1"))); got != want {
		t.Errorf("signed in with the claims %q, want %q", got, want)
	}
	d.log.wait(t, "msg=request", "status=403")
	if n := strings.Count(d.log.String(), "status=403"); n != 1 {
		t.Errorf("the gate refused %d requests, want 1:\n%s", n, d.log)
	}
}
