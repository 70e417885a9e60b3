package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// principal is an identity that a process may have without a person.
type principal struct {
	name    string
	managed bool
	enter   func(*testing.T, *cloud) // puts it where the process finds it
}

func principals() []principal {
	return []principal{
		{"secret", false, func(t *testing.T, c *cloud) {
			setenv(t, map[string]string{"AZURE_TENANT_ID": testTenant, "AZURE_CLIENT_ID": testClient, "AZURE_CLIENT_SECRET": testSecret})
		}},
		{"certificate", false, func(t *testing.T, c *cloud) {
			setenv(t, map[string]string{"AZURE_TENANT_ID": testTenant, "AZURE_CLIENT_ID": testClient, "AZURE_CLIENT_CERTIFICATE_PATH": testCertificate().file(t)})
		}},
		{"workload identity", false, func(t *testing.T, c *cloud) {
			assertion, err := c.Assertion(testClient)
			must(t, err)
			name := filepath.Join(t.TempDir(), "assertion")
			writeTestFile(t, name, assertion)
			setenv(t, map[string]string{"AZURE_TENANT_ID": testTenant, "AZURE_CLIENT_ID": testClient, "AZURE_FEDERATED_TOKEN_FILE": name})
		}},
		{"App Service", true, func(t *testing.T, c *cloud) { setenv(t, c.IdentityEnv()) }},
		{"virtual machine", true, func(t *testing.T, c *cloud) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.machine = true
		}},
	}
}

// each runs f with each principal, and no other credential about.
func (c *cloud) each(t *testing.T, f func(t *testing.T, p principal)) {
	for _, p := range principals() {
		t.Run(p.name, func(t *testing.T) {
			c.as(t, p)
			f(t, p)
		})
	}
}

// as has p be what the process finds, and nothing else.
func (c *cloud) as(t *testing.T, p principal) {
	t.Helper()
	bareEnvironment(t)
	c.mu.Lock()
	c.machine = false
	c.mu.Unlock()
	p.enter(t, c)
}

// asSecret has the test's client be what the process finds.
func (c *cloud) asSecret(t *testing.T) { c.as(t, principals()[0]) }

// bareEnvironment leaves nothing of Azure's in the environment.
func bareEnvironment(t *testing.T) {
	t.Helper()
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		for _, prefix := range []string{"AZURE_", "IDENTITY_", "MSI_", "IMDS_"} {
			if strings.HasPrefix(name, prefix) {
				t.Setenv(name, "") // restores it
				os.Unsetenv(name)
			}
		}
	}
}

func setenv(t *testing.T, values map[string]string) {
	for name, value := range values {
		t.Setenv(name, value)
	}
}

// testCertificate is that of the test's client. Its key takes long to make.
var testCertificate = sync.OnceValue(func() *clientCertificate {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "client of the test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return &clientCertificate{cert, key}
})

type clientCertificate struct {
	cert *x509.Certificate
	key  *rsa.PrivateKey
}

// file writes certificate and key to a file.
func (c *clientCertificate) file(t *testing.T) string {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(c.key)
	must(t, err)
	name := filepath.Join(t.TempDir(), "client.pem")
	writeTestFile(t, name, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.cert.Raw}))+
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	return name
}
