package source

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/entratest"
	"github.com/injectproxy/injectproxy/internal/token"
)

// newCertificate returns a certificate and, as PEM, it and its key.
func newCertificate(t *testing.T) (cert *x509.Certificate, pemFile string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048) // Entra takes no other kind
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "client"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return cert, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})) +
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestCertificateOfTheEnvironmentSignsForTokens(t *testing.T) {
	registered, good := newCertificate(t)
	_, strange := newCertificate(t)
	a, err := entratest.Start(entratest.Options{
		Tenants:   []string{tenant},
		Clients:   []entratest.Client{{ID: client, Certificates: []*x509.Certificate{registered}}},
		Resources: []entratest.Resource{{ID: api, Version: 2}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	c := (&azure{Authority: a}).in(t)
	path := filepath.Join(t.TempDir(), "client.pem")
	c.set(map[string]string{"AZURE_TENANT_ID": tenant, "AZURE_CLIENT_ID": client, "AZURE_CLIENT_CERTIFICATE_PATH": path})
	src := c.source(Entra{ClientID: api})

	write(t, path, strange)
	_, err = src.Token(t.Context(), token.Ask{})
	if e := wantError(t, err, token.Misconfigured); e.Code != "AADSTS700027" || !strings.Contains(e.Hint, "AZURE_CLIENT_CERTIFICATE_PATH") {
		t.Errorf("code %q, hint %q", e.Code, e.Hint)
	}
	// Whoever renews it replaces the file, and restarts nothing.
	write(t, path, good)
	first, err := src.Token(t.Context(), token.Ask{})
	if err != nil {
		t.Fatal(err)
	}
	if claims, err := c.Validate(first.Reveal(), api); err != nil || claims["azpacr"] != "2" {
		t.Errorf("azpacr %v, want that of a certificate: %v", claims["azpacr"], err)
	}
	second, err := src.Token(t.Context(), token.Ask{Rejected: first})
	if err != nil || second.Equal(first) {
		t.Errorf("refused, it came again (%v)", err)
	}
}
