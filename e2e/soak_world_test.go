package e2e_test

import (
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

// soak is a serve with servers that come and go.
type soak struct {
	t       *testing.T
	w       *world
	p       *serving
	status  string // address
	scraper *http.Client
	roots   *x509.CertPool // of the servers and of the proxy
	rounds  int

	api, mcp, llm, plain *site
	secret               string // the file with the token of llm

	mu    sync.Mutex
	token string // that llm wants
}

// newSoak starts all of it. Tokens for api and mcp come from Entra and last for
// seconds; that for llm comes from a command, and lasts until it is refused.
func newSoak(t *testing.T) *soak {
	t.Helper()
	a, err := entratest.Start(entratest.Options{
		Tenants: []string{tenant}, Clients: []entratest.Client{{ID: app, Secrets: []string{"of-the-app"}}},
		Resources: []entratest.Resource{{ID: api, Version: 2}}, Lifetime: 6 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	authorityCA := filepath.Join(t.TempDir(), "authority.pem")
	writeFile(t, authorityCA, string(a.CAPEM()))
	entra := func(bearer string) bool {
		_, err := a.Validate(bearer, api)
		return err == nil
	}
	k := &soak{t: t, w: newWorld(t), secret: filepath.Join(t.TempDir(), "token")}
	k.rotate()
	k.api = k.site("api.corp.test", entra, func() (http.Handler, func()) { return apiSite(), func() {} })
	k.mcp = k.site("mcp.corp.test", entra, mcpSite)
	k.llm = k.site("llm.corp.test", k.admits, func() (http.Handler, func()) { return http.HandlerFunc(talkative), func() {} })
	k.plain = k.site("plain.corp.test", nil, func() (http.Handler, func()) { return digest, func() {} })
	k.w.place("nobody.corp.test:443", "127.0.0.1:1")
	k.p = k.w.serve(options{
		admin: "127.0.0.1:0", level: "info", keep: 1 << 20, trust: []string{authorityCA}, hidden: []string{"of-the-app"},
		rules: k.rules(a.URL()),
		// The collector runs often, so that what it has left is what is in use.
		env: []string{"GOGC=10", "AZURE_TENANT_ID=" + tenant, "AZURE_CLIENT_ID=" + app, "AZURE_CLIENT_SECRET=of-the-app"},
	})
	if k.status, err = receive(k.p.log.status); err != nil {
		t.Fatal(err)
	}
	k.scraper = &http.Client{Transport: &http.Transport{}, Timeout: guardTime}
	t.Cleanup(k.scraper.CloseIdleConnections)
	k.roots = x509.NewCertPool()
	for _, file := range []string{k.w.caFile, k.p.root()} {
		pem, err := os.ReadFile(file)
		if err != nil || !k.roots.AppendCertsFromPEM(pem) {
			t.Fatalf("%s: %v", file, err)
		}
	}
	return k
}

func (k *soak) rules(authority string) string {
	return fmt.Sprintf(`
[entra]
authority_host = %q
disable_instance_discovery = true
[token]
refresh_margin = "3s"
[session]
light = "1s"
ping = true
[audience.api]
client_id = %q
tenant = %q
[audience.llm]
token_command = ["cat", %q]
[[rule]]
prefix = "https://api.corp.test/v1/"
audience = "api"
[[rule]]
prefix = "https://nobody.corp.test/"
audience = "api"
[[rule]]
prefix = "https://mcp.corp.test/"
audience = "api"
kind = "mcp"
[[rule]]
prefix = "https://llm.corp.test/"
audience = "llm"
kind = "llm"
`, authority, api, tenant, k.secret)
}

// upset has the servers lose what they know, and the token of llm end.
func (k *soak) upset() {
	k.t.Helper()
	k.mcp.replace()
	k.llm.replace()
	k.rotate()
}

// reconfigure changes a rule, and returns when serve has taken that over.
func (k *soak) reconfigure() {
	k.t.Helper()
	before := k.vitals().reloads
	writeFile(k.t, filepath.Join(k.p.home, "config.toml"), fmt.Sprintf("%s[[rule]]\nprefix = \"https://api.corp.test/v%d/\"\naudience = \"api\"\n", k.p.config, 2+k.rounds%2))
	k.until("a change of the configuration", func(v vitals) bool { return v.reloads > before })
}

// quiet ends all servers, and with them the connections that the proxy keeps
// for the next request, and starts them again.
func (k *soak) quiet() {
	sites := []*site{k.api, k.mcp, k.llm, k.plain}
	for _, s := range sites {
		s.stop()
		s.replace()
	}
}

// rotate gives llm another token.
func (k *soak) rotate() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.token = rand.Text()
	writeFile(k.t, k.secret, k.token)
}

func (k *soak) admits(bearer string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return bearer == k.token
}
