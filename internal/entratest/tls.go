package entratest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"time"
)

// serverCertificate returns the certificate to serve with and, as PEM, the
// one to trust for it.
func serverCertificate(hosts []string, given *tls.Certificate) (*tls.Certificate, []byte, error) {
	if given != nil {
		if len(given.Certificate) == 0 {
			return nil, nil, errors.New("simulated authority: the certificate given is empty")
		}
		return given, encodeCertificate(given.Certificate[len(given.Certificate)-1]), nil
	}
	cert, root, err := newCertificate(hosts)
	if err != nil {
		return nil, nil, fmt.Errorf("simulated authority: certificate: %w", err)
	}
	return cert, encodeCertificate(root), nil
}

// newCertificate makes a root and a leaf signed by it, for hosts. The root's key is
// forgotten on return.
func newCertificate(hosts []string) (leaf *tls.Certificate, root []byte, err error) {
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	ca := certificateTemplate("entratest root")
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	if root, err = x509.CreateCertificate(rand.Reader, ca, ca, rootKey.Public(), rootKey); err != nil {
		return nil, nil, err
	}
	if ca, err = x509.ParseCertificate(root); err != nil {
		return nil, nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := certificateTemplate("entratest authority")
	template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	template.DNSNames = []string{"localhost"}
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	for _, host := range hosts {
		if net.ParseIP(host) == nil && host != "localhost" {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, key.Public(), rootKey)
	if err != nil {
		return nil, nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, root, nil
}

// certificateTemplate returns what all certificates here have in common.
func certificateTemplate(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(randomBytes(16)),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(7 * 24 * time.Hour),
	}
}

func encodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// trustingClient returns a client that trusts ca alone.
func trustingClient(ca []byte) *http.Client {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2: true,
	}}
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails: the documentation of crypto/rand
	return b
}

func randomID() string { return hex.EncodeToString(randomBytes(16)) }
