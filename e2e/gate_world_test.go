package e2e_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

// The scopes and the role that the API of the gates here has.
const (
	scopeUse  = "access_as_user"
	scopeMore = "cost.export"
	roleUse   = "Caller"
)

// ada and bob are users.
var (
	ada = entratest.User{ObjectID: "0a1b2c3d-0000-4000-8000-0000000000aa", Username: "ada@corp.example", Name: "Ada"}
	bob = entratest.User{ObjectID: "0a1b2c3d-0000-4000-8000-0000000000bb", Username: "bob@corp.example", Name: "Bob"}
)

// gated is a running injectproxy gate.
type gated struct {
	url     string // what clients know it by, and public_url
	address string // where it really listens
	caFile  string // the root of its certificate; none in the clear
	entra   *entratest.Authority
	log     *logWatch
}

// gateOptions say how the gate runs.
type gateOptions struct {
	at     *relay               // where clients find it
	clear  bool                 // without TLS
	public string               // public_url in place of at's
	cert   tls.Certificate      // for public
	caFile string               // of cert
	entra  *entratest.Authority // directory if nil
	table  string               // more of [entra]
	routes string               // TOML
	check  func(log string)     // of all that it has told, once it has ended
}

// directory starts an authority with the API that gates here stand for, whose App
// ID URIs are api:// and its id, and uris. App is a client that has a secret and
// signs people in.
func directory(t *testing.T, o entratest.Options, uris ...string) *entratest.Authority {
	t.Helper()
	o.Tenants = []string{tenant}
	o.Clients = []entratest.Client{{ID: app, Public: true, Secrets: []string{appSecret}}}
	o.Resources = []entratest.Resource{{
		ID: api, Version: 2, URIs: uris, Scopes: []string{scopeUse, scopeMore}, Roles: []string{roleUse},
	}}
	a, err := entratest.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

const appSecret = "an0ther-s3cret-of-the-app"

// gate runs the binary as a gate until the test ends, and then wants it to end
// with status 0. It returns once the gate is ready.
func gate(t *testing.T, o gateOptions) *gated {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the gate is ended by a signal here, and Windows has none")
	}
	program, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	if o.at == nil {
		o.at = newRelay(t)
	}
	if o.entra == nil {
		o.entra = directory(t, entratest.Options{})
	}
	g := &gated{entra: o.entra, log: newLogWatch(options{})}
	home := t.TempDir()
	section := g.shown(t, &o, home)
	writeFile(t, filepath.Join(home, "entra.pem"), string(g.entra.CAPEM()))
	writeFile(t, filepath.Join(home, "gate.toml"), fmt.Sprintf(`
listen         = "127.0.0.1:0"
public_url     = %q
upstream_proxy = "direct"
upstream_ca    = ["entra.pem"]
drain          = "1s"
%s
[admin]
listen = ""
[entra]
tenants        = [%q]
client_id      = %q
authority_host = %q
%s
%s`, g.url, section, tenant, api, g.entra.URL(), o.table, o.routes))

	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, "gate", "--log-level", "debug")
	cmd.Env = append(environment(), "INJECTPROXY_HOME="+home)
	ownGroup(cmd)
	cmd.Stderr = g.log
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	t.Cleanup(func() {
		defer cancel()
		stop(t, cmd, done, cancel)
		if o.check != nil {
			o.check(g.log.String())
		}
		g.log.check(t, []string{"eyJ"}) // no token
	})
	g.address = g.log.wait(t, done)
	o.at.leadTo(g.address)
	g.ready(t, o.clear)
	return g
}

// shown decides on what clients see, and returns the section with its
// certificate.
func (g *gated) shown(t *testing.T, o *gateOptions, home string) (section string) {
	t.Helper()
	g.url, g.caFile = o.public, o.caFile
	if o.clear {
		g.url = "http://" + o.at.host
		return ""
	}
	if g.url == "" {
		g.url = "https://" + o.at.host
		o.cert, g.caFile = newCertificate(t, "localhost")
	}
	key, err := x509.MarshalPKCS8PrivateKey(o.cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(home, "gate.key"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	writeFile(t, filepath.Join(home, "gate.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: o.cert.Certificate[0]})))
	return "[tls]\ncert = \"gate.pem\"\nkey = \"gate.key\"\n"
}

// ready returns once the gate is.
func (g *gated) ready(t *testing.T, clear bool) {
	t.Helper()
	scheme := "https://"
	if clear {
		scheme = "http://"
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // any Host will do, and nothing is told
	defer tr.CloseIdleConnections()
	c := &http.Client{Transport: tr, Timeout: guardTime}
	again, late := time.NewTicker(10*time.Millisecond), time.After(guardTime)
	defer again.Stop()
	for {
		res, err := c.Get(scheme + g.address + "/readyz")
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-again.C:
		case <-late:
			t.Fatalf("the gate is not ready: %v\n%v", err, g.log)
		}
	}
}

// authorityFile has the root of the authority's certificate.
func (g *gated) authorityFile(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "authority.pem")
	writeFile(t, file, string(g.entra.CAPEM()))
	return file
}

// user returns a token of a user for the gate, with these scopes.
func (g *gated) user(t *testing.T, u entratest.User, scopes ...string) string {
	t.Helper()
	return g.issue(t, entratest.Grant{Client: app, Audience: api, User: &u, Scopes: scopes})
}

func (g *gated) issue(t *testing.T, grant entratest.Grant) string {
	t.Helper()
	token, err := g.entra.Issue(grant)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// node is a client on Node that trusts the gate and the authority.
func (g *gated) node(t *testing.T, env ...string) client {
	t.Helper()
	trusted := string(g.entra.CAPEM())
	if g.caFile != "" {
		b, err := os.ReadFile(g.caFile)
		if err != nil {
			t.Fatal(err)
		}
		trusted += string(b)
	}
	file := filepath.Join(t.TempDir(), "trusted.pem")
	writeFile(t, file, trusted)
	return client{env: append(env, "NODE_EXTRA_CA_CERTS="+file)}
}

// client is an HTTP client that trusts the gate and carries a token, if it is
// given one.
func (g *gated) client(t *testing.T, token string) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	if b, err := os.ReadFile(g.caFile); g.caFile != "" && (err != nil || !roots.AppendCertsFromPEM(b)) {
		t.Fatalf("no root: %v", err)
	}
	tr := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, g.address)
		},
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: carrying{tr, token}}
}

// post sends a message with a token, and returns the answer and its status.
func (g *gated) post(t *testing.T, token, message string) (body string, status int) {
	t.Helper()
	res, err := g.client(t, token).Do(mcpRequest(t, http.MethodPost, g.url+"/mcp", message))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
	}
	return string(b), res.StatusCode
}

// listTools is a message that lists tools, callOf one that calls a tool.
const listTools = `{"jsonrpc":"2.0","id":7,"method":"tools/list","params":{}}`

func callOf(tool string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":%q,"arguments":{}}}`, tool)
}

// carrying puts a token on each request.
type carrying struct {
	next  http.RoundTripper
	token string
}

// RoundTrip implements [http.RoundTripper].
func (c carrying) RoundTrip(r *http.Request) (*http.Response, error) {
	if c.token != "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	return c.next.RoundTrip(r)
}

// relay is a port of localhost that leads somewhere: so the port is known before
// that is.
type relay struct {
	host string // localhost, and its port

	all   sync.WaitGroup
	mu    sync.Mutex
	to    string // address; nobody is served while it is empty
	conns []net.Conn
}

func newRelay(t *testing.T) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	r := &relay{host: "localhost:" + port}
	r.all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.all.Go(func() { r.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		r.mu.Lock()
		for _, c := range r.conns {
			c.Close()
		}
		r.conns, r.to = nil, ""
		r.mu.Unlock()
		r.all.Wait()
	})
	return r
}

func (r *relay) leadTo(address string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.to = address
}

func (r *relay) serve(down net.Conn) {
	defer down.Close()
	up := r.dial(down)
	if up == nil {
		return
	}
	defer up.Close()
	r.all.Go(func() { pump(up, down) })
	pump(down, up)
}

// dial returns the other side of down, and has both closed at the end of the
// test.
func (r *relay) dial(down net.Conn) net.Conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.to == "" {
		return nil
	}
	up, err := net.Dial("tcp", r.to)
	if err != nil {
		return nil
	}
	r.conns = append(r.conns, down, up)
	return up
}

// innocent wraps a server that knows nothing of tokens: the test fails if one
// comes to it, in whatever place.
func innocent(t *testing.T, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, values := range r.Header {
			if text := strings.Join(values, " "); name == "Authorization" || strings.Contains(text, "eyJ") {
				t.Errorf("%s %s arrived with %s: %s", r.Method, r.URL.Path, name, text)
			}
		}
		if strings.Contains(r.URL.RawQuery, "eyJ") {
			t.Errorf("%s %s arrived with a token in its query", r.Method, r.URL.Path)
		}
		h.ServeHTTP(w, r)
	})
}
