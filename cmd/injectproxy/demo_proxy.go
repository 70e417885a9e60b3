package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/injectproxy/injectproxy/internal/access"
	"github.com/injectproxy/injectproxy/internal/ca"
	"github.com/injectproxy/injectproxy/internal/config"
)

// startProxy writes a configuration, loads it, and serves it as serve would.
func (w *demoWorld) startProxy(o demoOptions) error {
	text := w.configuration()
	if o.config != nil {
		text = o.config(text)
	}
	file := filepath.Join(w.dir, "config.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	cfg, problems := config.Load(file)
	if cfg == nil {
		return fmt.Errorf("the demonstration's configuration: %v", problems)
	}
	permit, err := ca.ParsePermit(cfg.Permitted())
	if err != nil {
		return err
	}
	authority, err := ca.Ephemeral(permit, nil)
	if err != nil {
		return err
	}
	credential := access.Generate()
	policy, err := access.New("credential", credential)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return err
	}
	w.instance, err = build(cfg, surroundings{
		authority: authority, access: policy, listeners: []net.Addr{l.Addr()},
		log: slog.New(slog.DiscardHandler), resolve: demoResolve, notify: w.notify,
	})
	if err != nil {
		l.Close()
		return err
	}
	go func() { w.served <- w.instance.Serve(l) }()
	w.onClose(func() {
		w.instance.Shutdown(canceled())
		w.instance.close()
		<-w.served
	})
	w.proxyURL = &url.URL{Scheme: "http", User: url.UserPassword("injectproxy", credential.Reveal()), Host: l.Addr().String()}
	w.caFile = filepath.Join(w.dir, "ca.pem")
	if err := os.WriteFile(w.caFile, authority.RootPEM(), 0o600); err != nil {
		return err
	}
	w.direct = w.client(nil, w.origin.Root())
	w.through = w.client(w.proxyURL, w.origin.Root(), authority.Root())
	return nil
}

// configuration is what a team would write, but for the simulated cloud.
func (w *demoWorld) configuration() string {
	return fmt.Sprintf(`listen         = "127.0.0.1:0"
upstream_proxy = "direct"
upstream_ca    = [%q, %q]

[entra]
authority_host             = %q
disable_instance_discovery = true

[token]
login = "auto"

[audience.gateway]
client_id = %q
tenant    = %q
sources   = ["default"]

[audience.models]
resource = %q
tenant   = %q
sources  = ["default"]

[audience.reports]
client_id = %q
tenant    = %q
sources   = ["device-code"]

[[rule]]
prefix   = "https://%s/mcp"
audience = "gateway"
kind     = "mcp"

[[rule]]
prefix   = "https://%s/v1/"
audience = "models"
kind     = "llm"

[[rule]]
prefix   = "https://%s/shared/"
audience = "gateway"
kind     = "share"

[[rule]]
prefix   = %q
audience = "reports"
kind     = "mcp"
`, filepath.Join(w.dir, "origins.pem"), filepath.Join(w.dir, "entra.pem"), w.entra.URL(), demoAPI, demoTenant, demoModels, demoTenant,
		demoGate, demoTenant, w.mcp.authority, w.llm.authority, w.share.authority, w.gateURL)
}

// client returns an HTTP client that trusts roots and uses the proxy, if any.
func (w *demoWorld) client(proxy *url.URL, roots ...*x509.Certificate) *http.Client {
	pool := x509.NewCertPool()
	for _, r := range roots {
		pool.AddCert(r)
	}
	t := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 64,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
		},
	}
	if proxy != nil {
		t.Proxy = http.ProxyURL(proxy)
	}
	w.onClose(t.CloseIdleConnections)
	return &http.Client{Transport: t}
}

// demoResolve knows the demonstration's own names and no other.
func demoResolve(_ context.Context, host string) ([]netip.Addr, error) {
	if host == "127.0.0.1" || strings.HasSuffix(host, ".demo.test") {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}
