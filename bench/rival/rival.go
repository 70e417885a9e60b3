// Package rival is goproxy as its users run it: its own interception, with an
// ECDSA CA and a certificate cache, adding a header to every request. It is here
// to be measured. The program has none of it, for the reasons that are in
// docs/decisions, and nothing but bench/sidebyside imports it.
package rival

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"sync"

	"github.com/elazarl/goproxy"
)

// New returns a handler that intercepts every CONNECT with leaves of authority,
// trusts the upstreams that roots vouch for, and puts authorization on what it
// forwards. It keeps as many idle connections to the upstream as there may be
// clients in a measurement, and looks at no proxy in the environment.
func New(authority *tls.Certificate, roots *x509.CertPool, authorization string) http.Handler {
	p := goproxy.NewProxyHttpServer()
	p.AllowHTTP2 = true
	p.CertStore = &leaves{made: map[string]*tls.Certificate{}}
	p.Tr = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, MaxIdleConnsPerHost: 512}
	intercept := &goproxy.ConnectAction{Action: goproxy.ConnectMitm, TLSConfig: goproxy.TLSConfigFromCA(authority)}
	p.OnRequest().HandleConnectFunc(func(host string, _ *goproxy.ProxyCtx) (*goproxy.ConnectAction, string) {
		return intercept, host
	})
	p.OnRequest().DoFunc(func(r *http.Request, _ *goproxy.ProxyCtx) (*http.Request, *http.Response) {
		r.Header.Set("Authorization", authorization)
		return r, nil
	})
	return p
}

// leaves is the certificate cache that goproxy leaves to its user.
type leaves struct {
	mu   sync.Mutex
	made map[string]*tls.Certificate
}

// Fetch returns the leaf of a host, made by sign when it is first asked for.
func (l *leaves) Fetch(host string, sign func() (*tls.Certificate, error)) (*tls.Certificate, error) {
	l.mu.Lock()
	c := l.made[host]
	l.mu.Unlock()
	if c != nil {
		return c, nil
	}
	c, err := sign()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.made[host] = c
	return c, nil
}
