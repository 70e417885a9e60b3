package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// trial is one connection to a server on loopback that a client makes for
// Host, trusting Roots.
type trial struct {
	name   string
	accept bool

	Host  string `json:"host"`
	Port  int    `json:"port"`
	Roots string `json:"roots"`
}

// newTrials serves, for every kind of constraint, leaves inside and outside of
// it, as somebody would sign them who got hold of the intermediate's key. An
// authority without constraints shows that it is the constraints which refuse.
func newTrials(t *testing.T) []trial {
	t.Helper()
	var trials []trial
	add := func(name, host string, accept bool, root *x509.Certificate, c *tls.Certificate) {
		file := filepath.Join(t.TempDir(), "root.pem")
		if err := os.WriteFile(file, certificatePEM(root), 0o600); err != nil {
			t.Fatal(err)
		}
		trials = append(trials, trial{name: name, accept: accept, Host: host, Port: serveTLS(t, c), Roots: file})
	}
	hosts := []string{"corp.example", "a.b.corp.example", "evil.example", "evilcorp.example", "127.0.0.1", "::1"}
	for _, entries := range [][]string{
		{"corp.example"},
		{"127.0.0.0/8"},
		{"::1"},
		{"corp.example", "127.0.0.1"},
		{"127.0.0.0/8", "::1"},
		{"a.b.corp.example", "10.0.0.0/8", "fd00::/8"},
	} {
		a := ephemeral(t, entries...)
		for _, host := range hosts {
			add(a.permit.String()+" / "+host, host, a.permit.Allows(host), a.root, forge(t, a, host))
		}
		add(a.permit.String()+" / common name", "evil.example", false, a.root, forgeCommonName(t, a, "evil.example"))
		add(a.permit.String()+" / common name and 127.0.0.1", "evil.example", false, a.root,
			forgeCommonName(t, a, "evil.example", net.IPv4(127, 0, 0, 1)))
	}
	inside := ephemeral(t, "corp.example")
	add("CA below the intermediate", "corp.example", false, inside.root, forgeBelow(t, inside, "corp.example"))
	free := unconstrained(t)
	for _, host := range hosts {
		add("no constraints / "+host, host, true, free.root, forge(t, free, host))
	}
	return trials
}

// forge signs for host whatever the constraints say.
func forge(t *testing.T, a *Authority, host string) *tls.Certificate {
	t.Helper()
	name, ip, err := parseHost(host)
	if err != nil {
		t.Fatal(err)
	}
	c, err := a.signLeaf(name, ip, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// forgeCommonName puts host where verifiers looked for it before there were
// alternative names.
func forgeCommonName(t *testing.T, a *Authority, host string, ips ...net.IP) *tls.Certificate {
	t.Helper()
	template := *forge(t, a, "unused.example").Leaf
	template.RawSubject, template.Subject = nil, pkix.Name{CommonName: host}
	template.DNSNames, template.IPAddresses = nil, ips
	template.SerialNumber, template.ExtraExtensions = nil, nil
	leaf := mustSign(t, &template, a.intermediate, a.leafKey, a.key)
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw, a.intermediate.Raw}, PrivateKey: a.leafKey}
}

// forgeBelow has the intermediate sign another CA, without constraints, and
// that one sign for host.
func forgeBelow(t *testing.T, a *Authority, host string) *tls.Certificate {
	t.Helper()
	template := plainAuthority("rogue", a.leafKey)
	template.MaxPathLen = -1
	below := mustSign(t, template, a.intermediate, a.leafKey, a.key)
	c := forge(t, unchecked(t, chain{root: a.root, intermediate: below, key: a.leafKey}, a.leafKey), host)
	c.Certificate = append(c.Certificate, a.intermediate.Raw)
	return c
}

// unchecked is a CA that newAuthority would not take.
func unchecked(t *testing.T, c chain, leafKey *ecdsa.PrivateKey) *Authority {
	t.Helper()
	m, err := newMint(c, leafKey)
	if err != nil {
		t.Fatal(err)
	}
	return &Authority{chain: c, leafKey: leafKey, mint: m, now: time.Now}
}

// unconstrained is the control: the same chain without name constraints.
func unconstrained(t *testing.T) *Authority {
	t.Helper()
	a := ephemeral(t, "corp.example")
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root := plainAuthority("root", rootKey)
	root.MaxPathLen = -1
	c := chain{root: mustSign(t, root, root, rootKey, rootKey), key: a.key}
	c.intermediate = mustSign(t, plainAuthority("intermediate", a.key), c.root, a.key, rootKey)
	return unchecked(t, c, a.leafKey)
}

func plainAuthority(role string, key *ecdsa.PrivateKey) *x509.Certificate {
	template := authorityTemplate(role, &key.PublicKey, Permit{}, time.Now())
	template.PermittedDNSDomainsCritical = false
	template.ExcludedDNSDomains = nil
	template.ExcludedIPRanges = nil
	template.MaxPathLenZero = true
	return template
}

func mustSign(t *testing.T, template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	c, err := sign(template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// serveTLS answers HTTPS requests with c until the test ends.
func serveTLS(t *testing.T, c *tls.Certificate) int {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{*c}})
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{
		Handler:  http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }),
		ErrorLog: log.New(io.Discard, "", 0), // refused handshakes are the point
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(listener)
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
	return listener.Addr().(*net.TCPAddr).Port
}

// verify asks Go's verifier about host under a's root.
func verify(a *Authority, c *tls.Certificate, host string) error {
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(a.root)
	intermediates.AddCert(a.intermediate)
	if ip, err := netip.ParseAddr(strings.TrimSuffix(host, ".")); err == nil && ip.Is6() {
		host = "[" + host + "]"
	}
	_, err := c.Leaf.Verify(x509.VerifyOptions{
		DNSName:       host,
		Roots:         roots,
		Intermediates: intermediates,
		CurrentTime:   a.now(),
	})
	return err
}
