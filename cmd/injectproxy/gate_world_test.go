//go:build unix

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

// gateHost is what clients of a gate in tests see.
const (
	gateHost = "gate.example.test"
	gateURL  = "https://" + gateHost
)

// gateWorld is what stands around a gate: the authority, and an MCP server of
// the Go SDK that knows nothing of tokens and keeps what it was sent.
type gateWorld struct {
	t     testing.TB
	entra *entratest.Authority
	home  string

	upstream *httptest.Server
	held     chan struct{} // has a value for each call of the tool hold
	release  chan struct{} // closed by letGo to have those answered
	once     sync.Once
	mu       sync.Mutex
	seen     []http.Header
}

// gateTools are the tables of a route: everybody may echo, few may export.
const gateTools = "[route.tools]\n\"echo\" = {}\n\"hold\" = {}\n\"export\" = { scopes = [\"cost.export\"], roles = [\"Exporter\"] }\n"

// newGateWorld writes a gate.toml with one route, /mcp, of which it has the
// further keys and tables. Top is what stands before its tables.
func newGateWorld(t testing.TB, top, route string, change ...func(*entratest.Options)) *gateWorld {
	t.Helper()
	w := &gateWorld{t: t, entra: startGateIdentity(t, change...), home: t.TempDir(), held: make(chan struct{}, 8), release: make(chan struct{})}
	sdk := w.server()
	w.upstream = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.seen = append(w.seen, r.Header.Clone())
		w.mu.Unlock()
		sdk.ServeHTTP(rw, r)
	}))
	t.Cleanup(func() {
		w.letGo()
		w.upstream.CloseClientConnections()
		w.upstream.Close()
	})
	w.certify()
	writeTestFile(t, filepath.Join(w.home, "entra.pem"), string(w.entra.CAPEM()))
	if !strings.Contains(top, "[admin]") {
		top += "\n[admin]\nlisten = \"\"\n"
	}
	writeTestFile(t, filepath.Join(w.home, "gate.toml"), fmt.Sprintf(`listen = "127.0.0.1:0"
public_url = %q
upstream_proxy = "direct"
upstream_ca = ["entra.pem"]
%s
[tls]
cert = "gate.pem"
key = "gate.key"
[entra]
tenants = [%q]
client_id = %q
authority_host = %q
[[route]]
path = "/mcp"
upstream = [%q]
%s
`, gateURL, top, testTenant, apiOne, w.entra.URL(), w.upstream.URL, route+"\n"+gateTools))
	return w
}

// startGateIdentity starts an authority whose API has the scopes and roles of
// the tests.
func startGateIdentity(t testing.TB, change ...func(*entratest.Options)) *entratest.Authority {
	t.Helper()
	o := entratest.Options{
		Tenants: []string{testTenant},
		Resources: []entratest.Resource{{ID: apiOne, Version: 2,
			Scopes: []string{"access_as_user", "cost.export"}, Roles: []string{"Exporter"}}},
	}
	for _, f := range change {
		f(&o)
	}
	a, err := entratest.Start(o)
	must(t, err)
	t.Cleanup(func() { a.Close() })
	return a
}

// server is the MCP server. Its tool hold answers when it may.
func (w *gateWorld) server() http.Handler {
	s := mcp.NewServer(&mcp.Implementation{Name: "tools", Version: "1"}, nil)
	served := &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "served"}}}
	for _, name := range []string{"echo", "export"} {
		mcp.AddTool(s, &mcp.Tool{Name: name}, func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
			return served, nil, nil
		})
	}
	mcp.AddTool(s, &mcp.Tool{Name: "who"}, w.who)
	mcp.AddTool(s, &mcp.Tool{Name: "hold"}, func(ctx context.Context, _ *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
		w.held <- struct{}{}
		select {
		case <-w.release:
		case <-ctx.Done():
		}
		return served, nil, nil
	})
	w.t.Cleanup(func() {
		for session := range s.Sessions() {
			session.Close()
		}
	})
	return mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s }, &mcp.StreamableHTTPOptions{DisableLocalhostProtection: true})
}

// who says whom the token speaks for that the server was shown, as an API that
// takes it does.
func (w *gateWorld) who(_ context.Context, r *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
	token, _ := strings.CutPrefix(r.Extra.Header.Get("Authorization"), "Bearer ")
	said := "nobody"
	if claims, err := w.entra.Validate(token, graphAPI); err == nil {
		said = fmt.Sprint(claims["oid"])
	}
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: said}}}, nil, nil
}

// graphAPI is what the gate gets tokens for on behalf of users.
const graphAPI = "https://graph.microsoft.com"

// letGo has the tool hold answer.
func (w *gateWorld) letGo() { w.once.Do(func() { close(w.release) }) }

// certify replaces the gate's certificate.
func (w *gateWorld) certify() {
	w.t.Helper()
	pair := origins().issue(w.t, gateHost)
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	must(w.t, err)
	writeTestFile(w.t, filepath.Join(w.home, "gate.key"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	writeTestFile(w.t, filepath.Join(w.home, "gate.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})))
}

// start starts the real program as a gate, and returns once it listens.
func (w *gateWorld) start(args ...string) *daemon {
	w.t.Helper()
	return w.startIn(nil, args...)
}

// startIn is start, with these in its environment.
func (w *gateWorld) startIn(env []string, args ...string) *daemon {
	w.t.Helper()
	d := spawn(w.t, w.home, command(w.t, context.Background(), w.home, env, append([]string{"gate"}, args...)...))
	d.listening()
	return d
}

// ready returns once the gate at addr is.
func (w *gateWorld) ready(addr string) {
	w.t.Helper()
	c := w.client(addr)
	soon(w.t, "the gate is not ready", func() bool {
		r, err := trySend(c, newGet(w.t, gateURL+"/readyz"))
		return err == nil && r.status == http.StatusOK
	})
}

// soon returns once holds does, and fails the test with what is wrong if it
// never does.
func soon(t testing.TB, wrong string, holds func() bool) {
	t.Helper()
	late, again := time.NewTimer(guard), time.NewTicker(20*time.Millisecond)
	defer late.Stop()
	defer again.Stop()
	for !holds() {
		select {
		case <-again.C:
		case <-late.C:
			t.Fatal(wrong)
		}
	}
}

// client returns a client of the gate at addr.
func (w *gateWorld) client(addr string) *http.Client {
	pool := x509.NewCertPool()
	pool.AddCert(origins().cert)
	tr := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}
	w.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: guard}
}

// user returns a user's token with the given scopes.
func (w *gateWorld) user(scopes ...string) string {
	w.t.Helper()
	token, err := w.entra.Issue(entratest.Grant{Client: testClient, Audience: apiOne, Scopes: scopes,
		User: &entratest.User{ObjectID: testUser, Username: "u@corp.example", Name: "U"}})
	must(w.t, err)
	return token
}

const testUser = "0a1b2c3d-0000-4000-8000-0000000000aa"

// bearing returns c with a token on each request.
func bearing(c *http.Client, token string) *http.Client {
	own := *c
	own.Transport = bearer{c.Transport, token}
	return &own
}

type bearer struct {
	next  http.RoundTripper
	token string
}

// RoundTrip implements [http.RoundTripper].
func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.next.RoundTrip(r)
}

// connect begins a session of the Go SDK's client.
func connectGate(t testing.TB, c *http.Client) *mcp.ClientSession {
	t.Helper()
	client := mcp.NewClient(&mcp.Implementation{Name: "agent", Version: "1"}, nil)
	s, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: gateURL + "/mcp", HTTPClient: c}, nil)
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// says returns what a tool answers.
func says(t testing.TB, s *mcp.ClientSession, tool string) string {
	t.Helper()
	res, err := s.CallTool(t.Context(), &mcp.CallToolParams{Name: tool})
	if err != nil {
		return "error: " + err.Error()
	}
	text, ok := res.Content[0].(*mcp.TextContent)
	if !ok {
		t.Fatalf("%+v", res)
	}
	return text.Text
}

// sent returns the headers that the server has seen.
func (w *gateWorld) sent() []http.Header {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]http.Header{}, w.seen...)
}

// read returns a file of the home.
func (w *gateWorld) read(name string) string {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.home, name))
	must(w.t, err)
	return string(bytes.TrimSpace(b))
}
