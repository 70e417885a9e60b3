package e2e_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
)

// client is an HTTP client in this process that is behind p and speaks one
// protocol, h1 or h2.
func (p *serving) client(t *testing.T, protocol string) *http.Client {
	t.Helper()
	root, err := os.ReadFile(p.root())
	roots := x509.NewCertPool()
	if err != nil || !roots.AppendCertsFromPEM(root) {
		t.Fatalf("no root: %v", err)
	}
	via, err := url.Parse(p.url())
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{Proxy: http.ProxyURL(via), TLSClientConfig: &tls.Config{RootCAs: roots}, Protocols: new(http.Protocols)}
	tr.Protocols.SetHTTP1(protocol == "h1")
	tr.Protocols.SetHTTP2(protocol == "h2")
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// mcpRequest is a request as MCP wants it.
func mcpRequest(t *testing.T, method, url, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "application/json, text/event-stream")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}
