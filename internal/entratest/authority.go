// Package entratest is a Microsoft Entra authority on loopback: the OpenID
// configuration, instance discovery, token, authorization, device code and key
// endpoints over TLS, with what az asks of Azure Resource Manager and what
// Microsoft Graph says of consent, and the two managed identity endpoints in the
// clear. Clients authenticate for real (secret, certificate, federated assertion),
// for themselves, for a person who signs in, or on behalf of the user they were
// called by, whom Conditional Access may challenge. Tokens are real RS256 JWTs of
// v1 and v2 shape, failures have Entra's own bodies.
//
//	a, err := entratest.Start(entratest.Options{
//		Tenants:   []string{tenant},
//		Clients:   []entratest.Client{{ID: app, Secrets: []string{"s3cret"}}},
//		Resources: []entratest.Resource{{ID: api, Version: 2}},
//	})
//	defer a.Close()
//	// cloud.Configuration{ActiveDirectoryAuthorityHost: a.URL()},
//	// Transport: a.HTTPClient(), DisableInstanceDiscovery: true, scope "api://<api>/.default"
//	a.FailNext(1, entratest.AADSTS(50076))  // the next token request fails
//	a.RequireContext(user, api, "c1")       // this user's fail on behalf, for want of acrs
//	claims, err := a.Validate(bearer, api)  // what a protected upstream asks
//	a.Revoke(bearer)                        // from here on Validate refuses it
//	err = a.WaitRequests(ctx, 2, entratest.Request{Endpoint: entratest.TokenEndpoint})
//
// It listens on loopback only and refuses what it does not know: tenants,
// clients and resources have to be registered. It protects nothing: its keys
// are made at start and trusted by whoever asked for them.
package entratest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// Authority is a running simulation. Its methods are safe for concurrent use.
type Authority struct {
	directory
	lifetime time.Duration
	now      func() time.Time
	url      string
	identity string // base URL of the managed identity endpoints
	header   string // secret that App Service would put into IDENTITY_HEADER
	caPEM    []byte
	client   *http.Client
	door     *door
	way      *way // nil unless public
	servers  []*http.Server
	serving  sync.WaitGroup
	stop     context.CancelFunc
	cluster  cluster

	keys     keyRing
	faults   faultList
	requests requestLog
	ledger   ledger
	devices  deviceCodes
	browsing browsing
	policies policies
	consents consents
}

// Start returns a running authority on a free port of 127.0.0.1. The caller
// has to Close it.
func Start(o Options) (*Authority, error) {
	dir, err := newDirectory(o)
	if err != nil {
		return nil, err
	}
	hosts := []string{orDefault(o.Host, "127.0.0.1")}
	if o.Public {
		hosts = publicNames()
	}
	cert, caPEM, err := serverCertificate(hosts, o.Certificate)
	if err != nil {
		return nil, err
	}
	a := &Authority{directory: dir, lifetime: o.Lifetime, now: o.Now, caPEM: caPEM, header: randomID()}
	if a.lifetime == 0 {
		a.lifetime = time.Hour
	}
	if a.now == nil {
		a.now = time.Now
	}
	if err := a.keys.rotate(""); err != nil {
		return nil, err
	}
	a.client = trustingClient(caPEM)
	if err := a.listen(hosts[0], cert, o.Public); err != nil {
		return nil, err
	}
	return a, nil
}

// listen opens the ports and serves them.
func (a *Authority) listen(host string, cert *tls.Certificate, public bool) error {
	secure, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("simulated authority: %w", err)
	}
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(fmt.Errorf("simulated managed identity: %w", err), secure.Close())
	}
	_, port, err := net.SplitHostPort(secure.Addr().String())
	if err != nil {
		return errors.Join(err, secure.Close(), plain.Close())
	}
	a.url = "https://" + net.JoinHostPort(host, port)
	a.identity = "http://" + plain.Addr().String()
	a.door = newDoor(secure)

	ctx, stop := context.WithCancel(context.Background())
	a.stop = stop
	if public {
		a.url = "https://" + host
		if err := a.openWay(ctx, secure.Addr()); err != nil {
			stop()
			return errors.Join(err, secure.Close(), plain.Close())
		}
	}
	a.serve(ctx, a.authorityHandler(), func(s *http.Server) error { return s.ServeTLS(a.door, "", "") }, cert)
	a.serve(ctx, a.identityHandler(), func(s *http.Server) error { return s.Serve(plain) }, nil)
	return nil
}

// serve runs one server until Close.
func (a *Authority) serve(ctx context.Context, h http.Handler, run func(*http.Server) error, cert *tls.Certificate) {
	s := &http.Server{
		Handler:           h,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 10 * time.Second,
		// Clients that hang up over a certificate or a deadline are what
		// the callers provoke: nothing to report.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	if cert != nil {
		s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS12}
	}
	a.servers = append(a.servers, s)
	a.serving.Go(func() { _ = run(s) }) // ends with http.ErrServerClosed, by Close
}

// Close ends the servers and every request in flight, and waits for them. It
// may be called more than once.
func (a *Authority) Close() error {
	a.requests.close()
	a.stop()
	var errs []error
	for _, s := range a.servers {
		errs = append(errs, s.Close())
	}
	a.client.CloseIdleConnections()
	a.serving.Wait()
	if a.way != nil {
		a.way.close()
	}
	a.requests.drain()
	return errors.Join(errs...)
}

// URL returns the authority's base URL, such as https://127.0.0.1:34567,
// without a trailing slash: what goes into AZURE_AUTHORITY_HOST.
func (a *Authority) URL() string { return a.url }

// CAPEM returns the certificate to trust for [Authority.URL], as PEM: a root
// made at start, or the end of the chain that Options.Certificate has.
func (a *Authority) CAPEM() []byte { return append([]byte(nil), a.caPEM...) }

// HTTPClient returns a client that trusts the authority and nobody else and
// uses no proxy. All calls return the same one.
func (a *Authority) HTTPClient() *http.Client { return a.client }

// Down makes the authority unreachable: connections are cut, new ones reset.
// The port is kept, so that [Authority.Up] cannot lose it to another process.
func (a *Authority) Down() { a.door.shut(true) }

// Up ends Down.
func (a *Authority) Up() { a.door.shut(false) }

func orDefault(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}
