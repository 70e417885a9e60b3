package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/entratest"
)

// The half of the directory that the gate is in.
const (
	demoGate       = "7a5d1c3e-92b4-4f60-8e17-1b2c3d4e5f60" // what clients ask tokens for, and who exchanges them
	demoGateSecret = "demo-gate-secret"                     // #nosec G101 -- of the simulated authority alone
	demoReports    = "c0ffee00-5a1d-4b7e-9f23-2c3d4e5f6071" // the API that the server behind it is
	demoSignIns    = "04b07795-8ddb-461a-bbee-02f9e1bf7b46" // az's, as which people sign in by a code
)

// demoUser is the person whose client it is.
var demoUser = entratest.User{ObjectID: "0b1c2d3e-4f50-4617-8293-a4b5c6d7e8f9", Username: "ada@demo.test", Name: "Ada"}

// demoCode is where a sign-in by a code says which.
var demoCode = regexp.MustCompile(`enter the code ([0-9A-Z]+)$`)

// notify is how the proxy tells the person that a sign-in is needed. This one
// reads it at once, and enters the code in a browser elsewhere.
func (w *demoWorld) notify(_, message string) {
	if code := demoCode.FindStringSubmatch(message); code != nil {
		_ = w.entra.SignIn(code[1], demoUser) // in vain if it was not waited for
	}
}

// startGate writes a gate.toml, loads it, and serves it as the command gate would,
// but for the page of its own.
func (w *demoWorld) startGate(o demoOptions) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	w.gateURL = "https://gate.demo.test:" + port + "/mcp"
	if w.gate, err = w.newGate(o, l.Addr().String(), port); err != nil {
		l.Close()
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { w.gate.run(ctx) })
	running.Go(func() { _ = w.gate.Serve(l) }) // ends by Shutdown
	w.onClose(func() {
		w.gate.Shutdown(canceled())
		stop()
		running.Wait()
		w.gate.close()
	})
	return nil
}

// newGate composes the gate from its files.
func (w *demoWorld) newGate(o demoOptions, address, port string) (*gateway, error) {
	text := w.gateConfiguration(address, port)
	if o.gate != nil {
		text = o.gate(text)
	}
	file := filepath.Join(w.dir, "gate.toml")
	err := cmp.Or(
		w.writeCertificate("gate.demo.test"),
		os.WriteFile(filepath.Join(w.dir, "gate.secret"), []byte(demoGateSecret), 0o600),
		os.WriteFile(file, []byte(text), 0o600),
	)
	if err != nil {
		return nil, err
	}
	cfg, problems := config.LoadGate(file)
	if cfg == nil {
		return nil, fmt.Errorf("the demonstration's gate: %v", problems)
	}
	return buildGate(cfg, surroundings{log: slog.New(slog.DiscardHandler)})
}

// gateConfiguration is what a team would write, but for the simulated cloud.
func (w *demoWorld) gateConfiguration(address, port string) string {
	return fmt.Sprintf(`listen         = %q
public_url     = "https://gate.demo.test:%s"
upstream_proxy = "direct"
upstream_ca    = ["entra.pem"]

[tls]
cert = "gate.pem"
key  = "gate.key"

[entra]
tenants        = [%q]
client_id      = %q
authority_host = %q

[admin]
listen = ""

[[route]]
path     = "/mcp"
upstream = ["http://%s"]
scopes   = ["access_as_user"]

[route.tools]
"whoami"         = {}
"delete_reports" = { scopes = ["reports.delete"] }

[route.on_behalf_of]
scope        = "api://%s/reports.read"
secret_file  = "gate.secret"
warn_consent = false
`, address, port, demoTenant, demoGate, w.entra.URL(), w.reports.authority, demoReports)
}

// writeCertificate writes what the gate shows to be host.
func (w *demoWorld) writeCertificate(host string) error {
	leaf, err := w.origin.Leaf(host)
	if err != nil {
		return err
	}
	key, err := x509.MarshalPKCS8PrivateKey(leaf.PrivateKey)
	if err != nil {
		return err
	}
	var chain []byte
	for _, der := range leaf.Certificate {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return cmp.Or(
		os.WriteFile(filepath.Join(w.dir, "gate.pem"), chain, 0o600),
		os.WriteFile(filepath.Join(w.dir, "gate.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600),
	)
}

// door returns what the gate has answered since its first n requests, in the order
// in which they came.
func (w *demoWorld) door(n int) (seen []demoRequest) {
	flying, ended := w.gate.watch.live.requests()
	all := append(flying, ended...)
	slices.SortFunc(all, func(a, b liveRequest) int { return cmp.Compare(a.ID, b.ID) })
	for _, q := range all[n:] {
		seen = append(seen, demoRequest{path: q.Path, status: q.Status})
	}
	return seen
}
