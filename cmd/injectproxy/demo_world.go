package main

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/injectproxy/injectproxy/internal/ca"
	"github.com/injectproxy/injectproxy/internal/entratest"
)

// The directory of the simulated Entra authority.
const (
	demoTenant = "11111111-2222-4333-8444-555555555555"
	demoClient = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee" // who the proxy is
	demoSecret = "demo-client-secret"                   // #nosec G101 -- of the simulated authority alone
	demoAPI    = "58348f96-645d-4a2e-8c1d-0123456789ab" // in front of the MCP server and the shares
	demoModels = "https://models.demo.test"             // in front of the LLM endpoint
)

// demoOptions let a test build a world in which a step does not hold.
type demoOptions struct {
	config func(string) string // changes the configuration before it is loaded
	gate   func(string) string // changes the gate's
}

// demoWorld is everything that a demonstration needs, running.
type demoWorld struct {
	dir    string
	entra  *entratest.Authority
	origin *ca.Authority // signs the servers' certificates
	mcp    *demoServer
	llm    *demoServer
	share  *demoServer
	site   *demoServer // in no rule
	events chan struct{}

	sessions *demoSessions // of the MCP server

	reports *demoServer // another MCP server, behind the gate
	gate    *gateway
	gateURL string // what clients have

	instance *instance
	served   chan error
	proxyURL *url.URL // with the credential
	caFile   string
	through  *http.Client // by way of the proxy
	direct   *http.Client

	cleanup []func()
}

// newDemoWorld starts everything. On error nothing is left running.
func newDemoWorld(o demoOptions) (w *demoWorld, err error) {
	w = &demoWorld{served: make(chan error, 1), events: make(chan struct{}), sessions: newDemoSessions()}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if w.dir, err = os.MkdirTemp("", "injectproxy-demo-"); err != nil {
		return w, err
	}
	w.onClose(func() { os.RemoveAll(w.dir) })
	if err := w.startEntra(); err != nil {
		return w, err
	}
	if err := w.startServers(); err != nil {
		return w, err
	}
	if err := w.startGate(o); err != nil {
		return w, err
	}
	return w, w.startProxy(o)
}

func (w *demoWorld) onClose(f func()) { w.cleanup = append(w.cleanup, f) }

// close ends everything and removes what was written.
func (w *demoWorld) close() {
	for len(w.cleanup) > 0 {
		last := len(w.cleanup) - 1
		w.cleanup[last]()
		w.cleanup = w.cleanup[:last]
	}
}

// startEntra starts the authority and makes this process its client, in the
// variables that DefaultAzureCredential reads.
func (w *demoWorld) startEntra() error {
	a, err := entratest.Start(entratest.Options{
		Tenants: []string{demoTenant},
		Clients: []entratest.Client{
			{ID: demoClient, Secrets: []string{demoSecret}},
			{ID: demoGate, Secrets: []string{demoGateSecret}},
			{ID: demoSignIns, Public: true},
		},
		Resources: []entratest.Resource{
			{ID: demoAPI, Version: 2},
			{ID: "9f3c1a52-7f0e-4c55-9d0c-6d1f0a3b7c11", URIs: []string{demoModels}, Version: 1},
			{ID: demoGate, Version: 2, Scopes: []string{"access_as_user"}},
			{ID: demoReports, Version: 2, Scopes: []string{"reports.read"}},
		},
	})
	if err != nil {
		return err
	}
	w.entra = a
	w.onClose(func() { a.Close() })
	w.onClose(isolateCredentials(map[string]string{
		"AZURE_TENANT_ID": demoTenant, "AZURE_CLIENT_ID": demoClient, "AZURE_CLIENT_SECRET": demoSecret,
	}))
	return nil
}

// isolateCredentials replaces every variable that could lead the credential
// chain to the user's own identity, and returns the function that restores
// them.
func isolateCredentials(vars map[string]string) (restore func()) {
	saved := map[string]string{}
	for _, kv := range os.Environ() {
		name, value, _ := strings.Cut(kv, "=")
		for _, prefix := range []string{"AZURE_", "IDENTITY_", "MSI_", "IMDS_"} {
			if strings.HasPrefix(name, prefix) {
				saved[name] = value
				os.Unsetenv(name)
			}
		}
	}
	for name, value := range vars {
		os.Setenv(name, value)
	}
	return func() {
		for name := range vars {
			os.Unsetenv(name)
		}
		for name, value := range saved {
			os.Setenv(name, value)
		}
	}
}

// startServers starts what the proxy stands in front of, and what the gate does.
func (w *demoWorld) startServers() error {
	permit, err := ca.ParsePermit([]string{"demo.test"})
	if err != nil {
		return err
	}
	if w.origin, err = ca.Ephemeral(permit, nil); err != nil {
		return err
	}
	err = cmp.Or(
		os.WriteFile(filepath.Join(w.dir, "origins.pem"), w.origin.RootPEM(), 0o600),
		os.WriteFile(filepath.Join(w.dir, "entra.pem"), w.entra.CAPEM(), 0o600),
	)
	if err != nil {
		return err
	}
	var errs [5]error
	w.mcp, errs[0] = w.startServer("mcp.demo.test", demoAPI, w.serveMCP)
	w.llm, errs[1] = w.startServer("llm.demo.test", demoModels, w.serveLLM)
	w.share, errs[2] = w.startServer("share.demo.test", demoAPI, serveShare)
	w.site, errs[3] = w.startServer("news.demo.test", "", serveSite)
	w.reports, errs[4] = w.startServer("127.0.0.1", demoReports, w.serveReports)
	return errors.Join(errs[:]...)
}
