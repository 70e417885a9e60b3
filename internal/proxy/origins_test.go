package proxy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// authorityForTests signs the certificates of upstreams.
type authorityForTests struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newOrigins(t testing.TB) *authorityForTests {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	fatal(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "origins"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	fatal(t, err)
	cert, err := x509.ParseCertificate(der)
	fatal(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &authorityForTests{cert: cert, key: key, pool: pool}
}

// issue returns a certificate for host; change may spoil it first.
func (a *authorityForTests) issue(t testing.TB, host string, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	fatal(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	fatal(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// startUpstream starts a TLS server for host and returns its authority.
// Proto is "h1" or "h2" (which then speaks both).
func (a *authorityForTests) startUpstream(t testing.TB, host, proto string, h http.Handler) string {
	t.Helper()
	l := listenLoopback(t)
	a.serveUpstream(t, l, host, proto, h)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return net.JoinHostPort(host, port)
}

// serveUpstream is startUpstream on a listener of the caller's.
func (a *authorityForTests) serveUpstream(t testing.TB, l net.Listener, host, proto string, h http.Handler) {
	t.Helper()
	s := &http.Server{Handler: h, Protocols: new(http.Protocols), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	s.DisableGeneralOptionsHandler = true
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetHTTP2(proto == "h2")
	s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{a.issue(t, host, nil)}}
	done := make(chan error, 1)
	go func() { done <- s.ServeTLS(l, "", "") }()
	t.Cleanup(func() { s.Close(); <-done })
}

// listenTLS listens for host with a certificate that change may spoil.
func (a *authorityForTests) listenTLS(t testing.TB, host string, change func(*x509.Certificate)) net.Listener {
	t.Helper()
	return tls.NewListener(listenLoopback(t), &tls.Config{Certificates: []tls.Certificate{a.issue(t, host, change)}})
}

// serveEach has serve speak on each connection that l accepts, and ends them
// all with the test.
func serveEach(t testing.TB, l net.Listener, cfg *tls.Config, serve func(net.Conn)) {
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			conns.Go(func() { serve(tls.Server(c, cfg)) })
		}
	})
	t.Cleanup(conns.Wait)
	t.Cleanup(func() { l.Close() })
}
