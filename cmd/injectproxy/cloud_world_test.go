package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

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

// audience is [audience.NAME] with further lines.
func audience(name string, lines ...string) string {
	return fmt.Sprintf("[audience.%s]\n%s\n", name, strings.Join(lines, "\n"))
}
