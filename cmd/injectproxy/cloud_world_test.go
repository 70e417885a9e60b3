package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/entratest"
)

const (
	otherTenant   = "5d0f7a1c-0c5e-4b52-9d4d-3d1f9f3f0a02"
	otherClient   = "9b1de1a5-53c8-4ac1-8b0e-6f1b1f6b7c04"
	machineClient = "9b1de1a5-53c8-4ac1-8b0e-6f1b1f6b7c05"
)

// cloud is an identity service with two tenants and whatever a process finds a
// credential with. The environment is the process's: tests with a cloud do not
// run in parallel.
type cloud struct {
	*entratest.Authority
	t     *testing.T
	apis  []cloudAPI // that nobody has asked for a token of
	names map[string]string

	mu      sync.Mutex
	machine bool     // whether the metadata service is there
	dialled []string // by what asks identity services
}

// cloudAPI is an API by its client ID and an App ID URI, which two others with
// slashes at the end resemble.
type cloudAPI struct{ id, uri string }

func newCloud(t *testing.T, change ...func(*entratest.Options)) *cloud {
	t.Helper()
	c := &cloud{t: t, names: map[string]string{}}
	o := entratest.Options{
		Tenants: []string{testTenant, otherTenant},
		Clients: []entratest.Client{
			{ID: machineClient, Managed: true},
			{ID: testClient, Secrets: []string{testSecret}, Certificates: []*x509.Certificate{testCertificate().cert}, Federated: []entratest.Federation{{}}},
			{ID: otherClient, Secrets: []string{testSecret}},
		},
	}
	for range 40 {
		id := uuid.NewString()
		a := cloudAPI{id, "https://" + id + ".example"}
		c.apis = append(c.apis, a)
		o.Resources = append(o.Resources, entratest.Resource{ID: id, Version: 1, URIs: []string{a.uri, a.uri + "/", a.uri + "//"}})
	}
	for _, f := range change {
		f(&o)
	}
	var err error
	c.Authority, err = entratest.Start(o)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// fresh returns an API of its own: the tokens of managed identities are cached
// for the process.
func (c *cloud) fresh() cloudAPI {
	a := c.apis[0]
	c.apis = c.apis[1:]
	return a
}

// bed is newTestbed, with what dials for tokens under the test's eyes.
func (c *cloud) bed(t *testing.T, s settings, change ...func(*config.Config, *surroundings)) *testbed {
	t.Helper()
	return newTestbed(t, s, append(change, func(_ *config.Config, around *surroundings) { around.dialIdentity = c.dial })...)
}

// dial notes what is dialled. Names below .test are this machine.
func (c *cloud) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c.mu.Lock()
	c.dialled = append(c.dialled, addr)
	machine := c.machine
	c.mu.Unlock()
	host, port, err := net.SplitHostPort(addr)
	switch {
	case err != nil:
		return nil, err
	case addr == metadataAddr && machine:
		addr = strings.TrimPrefix(c.IdentityURL(), "http://")
	case strings.HasSuffix(host, ".test"):
		addr = net.JoinHostPort("127.0.0.1", port)
	case net.ParseIP(host) == nil:
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return dialNoMetadata(ctx, network, addr)
}

// dials returns what was dialled since the last call.
func (c *cloud) dials() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.dialled
	c.dialled = nil
	return d
}

// asks returns the requests for tokens of an API.
func (c *cloud) asks(a cloudAPI) (list []entratest.Request) {
	for _, r := range c.Requests() {
		if strings.Contains(r.Scope, a.id) {
			list = append(list, r)
		}
	}
	return list
}

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
	for name, value := range maps.All(values) {
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

// audience is [audience.NAME] with further lines.
func audience(name string, lines ...string) string {
	return fmt.Sprintf("[audience.%s]\n%s\n", name, strings.Join(lines, "\n"))
}
