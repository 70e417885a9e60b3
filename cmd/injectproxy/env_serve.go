package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/injectproxy/injectproxy/internal/access"
	"github.com/injectproxy/injectproxy/internal/ca"
	"github.com/injectproxy/injectproxy/internal/config"
)

// serveLimit is how long a serve on this machine may take to answer.
const serveLimit = 5 * time.Second

// runningServe is a serve that has answered.
type runningServe struct {
	url *url.URL                  // with the credential, where it is needed
	is  func(netip.AddrPort) bool // whether an address is its

	stranger bool // another user's process answered
}

// findServe looks for the serve of cfg. It must be an injectproxy that admits
// this user and shows the CA that clients will be told to trust: anybody may
// have taken the port. No request leaves it.
func findServe(ctx context.Context, cfg *config.Config, home string, authority *ca.Authority) (*runningServe, error) {
	ctx, cancel := context.WithTimeout(ctx, serveLimit)
	defer cancel()
	address, err := reachable(cfg.Listen)
	if err != nil {
		return nil, err
	}
	found := &runningServe{url: &url.URL{Scheme: "http", Host: address}, is: listensAt(address)}
	status, err := found.ask(ctx)
	if err == nil && status == http.StatusProxyAuthRequired && found.stranger {
		return nil, &failure{status: exitFailed, err: fmt.Errorf("the injectproxy at %s is another user's, who is not shown your credential", address),
			hint: "set another address for yours with listen in config.toml, and start injectproxy serve"}
	}
	if err == nil && status == http.StatusProxyAuthRequired {
		// Only now is a credential needed, and made if there is none.
		credential, failed := access.LoadOrCreate(filepath.Join(home, "credential"))
		if failed != nil {
			return nil, failed
		}
		found.url.User = url.UserPassword("injectproxy", credential.Reveal())
		status, err = found.ask(ctx)
	}
	if err != nil {
		return nil, err
	}
	if status == http.StatusProxyAuthRequired {
		return nil, &failure{status: exitFailed, err: fmt.Errorf("the injectproxy at %s does not take the credential in %s", address, home),
			hint: "it may be another user's: set another address for yours with listen in config.toml"}
	}
	if target := interceptedBy(cfg, authority); target != "" {
		return found, found.showsCA(ctx, target, authority)
	}
	return found, nil
}

// reachable returns where clients on this machine find what listens at listen.
func reachable(listen string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", err
	}
	if port == "0" {
		return "", &failure{status: exitUsage, err: fmt.Errorf("listen = %q says no port, so serve cannot be found", listen),
			hint: "name the address that serve logged with --listen, or a port in config.toml"}
	}
	switch addr, _ := netip.ParseAddr(host); {
	case host == "" || addr == netip.IPv4Unspecified():
		host = "127.0.0.1"
	case addr == netip.IPv6Unspecified():
		host = "::1"
	}
	return net.JoinHostPort(host, port), nil
}

// ask sends a request that any injectproxy answers itself, and returns the
// status: 407 where it wants another credential.
func (s *runningServe) ask(ctx context.Context) (int, error) {
	res, conn, err := s.send(ctx, http.MethodGet, "/", s.url.Host)
	if err != nil {
		return 0, &failure{status: exitFailed, err: fmt.Errorf("no serve answers at %s", s.url.Host),
			hint: "start it: injectproxy serve (or name where it listens with --listen)"}
	}
	ours, known := access.Server(conn)
	s.stranger = known && !ours
	conn.Close()
	if product, _, _ := strings.Cut(res.Header.Get("Proxy-Status"), ";"); product != "injectproxy" {
		return 0, &failure{status: exitFailed, err: fmt.Errorf("what answers at %s is not injectproxy", s.url.Host),
			hint: "set another address with listen in config.toml, and start injectproxy serve"}
	}
	return res.StatusCode, nil
}

// showsCA returns nil if the proxy ends the TLS of target with a certificate
// of the given CA.
func (s *runningServe) showsCA(ctx context.Context, target string, authority *ca.Authority) error {
	stale := &failure{status: exitFailed, err: fmt.Errorf("the injectproxy at %s does not serve the CA in %s", s.url.Host, authority.RootFile()),
		hint: "restart it: injectproxy serve"}
	res, conn, err := s.send(ctx, http.MethodConnect, target, target)
	if err != nil {
		return stale
	}
	defer conn.Close()
	roots := x509.NewCertPool()
	roots.AddCert(authority.Root())
	host, _, _ := net.SplitHostPort(target) // canonical: it splits
	trust := &tls.Config{RootCAs: roots, ServerName: host, MinVersion: tls.VersionTLS12}
	if res.StatusCode != http.StatusOK || tls.Client(conn, trust).HandshakeContext(ctx) != nil {
		return stale
	}
	return nil
}

// send sends one request without a body to the proxy, over a connection of its
// own that the caller closes. The response has no body to be read.
func (s *runningServe) send(ctx context.Context, method, target, host string) (*http.Response, net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.url.Host)
	if err != nil {
		return nil, nil, err
	}
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	head := method + " " + target + " HTTP/1.1\r\nHost: " + host + "\r\n"
	if password, ok := s.url.User.Password(); ok {
		head += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(s.url.User.Username()+":"+password)) + "\r\n"
	}
	_, err = conn.Write([]byte(head + "\r\n"))
	if err == nil {
		// After CONNECT a server of TLS waits, so that the reader holds nothing back.
		var res *http.Response
		if res, err = http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method}); err == nil {
			return res, conn, nil
		}
	}
	return nil, nil, errors.Join(err, conn.Close())
}

// interceptedBy returns an authority that a serve of cfg intercepts, "" if
// there is none.
func interceptedBy(cfg *config.Config, authority *ca.Authority) string {
	for _, rule := range cfg.Rules {
		for _, prefix := range rule.Prefixes {
			host, _, _ := net.SplitHostPort(prefix.Authority())
			if rule.Off == "" && authority.Check(host) == nil {
				return prefix.Authority()
			}
		}
	}
	return ""
}
