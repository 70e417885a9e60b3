package e2e_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"sync"
)

// soakClients are the ways in which a visitor reaches the proxy.
type soakClients struct {
	one, two *http.Client // over HTTP/1.1 and HTTP/2
	blind    *http.Client // does not trust the proxy

	dialer net.Dialer
	mu     sync.Mutex
	open   []net.Conn
}

// clients returns fresh ones.
func (k *soak) clients() *soakClients {
	c := new(soakClients)
	client := func(roots *x509.CertPool, two bool) *http.Client {
		return &http.Client{Transport: &http.Transport{
			Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: k.p.address}), DialContext: c.dial,
			ForceAttemptHTTP2: two, TLSClientConfig: &tls.Config{RootCAs: roots},
		}}
	}
	c.one, c.two, c.blind = client(k.roots, false), client(k.roots, true), client(x509.NewCertPool(), true)
	return c
}

func (c *soakClients) both() []*http.Client { return []*http.Client{c.one, c.two} }

func (c *soakClients) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := c.dialer.DialContext(ctx, network, address)
	if err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.open = append(c.open, conn)
	}
	return conn, err
}

// close ends all connections, those too that a Transport does not take for
// idle yet and would keep.
func (c *soakClients) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.open {
		conn.Close()
	}
}
