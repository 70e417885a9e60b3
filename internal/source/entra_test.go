package source

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

const (
	tenant  = "16b3c013-d300-468d-8c1d-000000000000"
	tenant2 = "16b3c013-d300-468d-8c1d-000000000002"
	client  = "11111111-d300-468d-8c1d-000000000000"
	machine = "22222222-d300-468d-8c1d-000000000000"
	api     = "58348f96-645d-4a2e-8c1d-000000000000"
)

// azure is a simulated authority and the environment of a process that uses
// it. Tests with one cannot run in parallel: the environment is the process's.
type azure struct {
	*entratest.Authority
	t        *testing.T
	uri      string // of its API, which has another one with a slash at the end
	metadata string // address of whatever answers at the metadata service's, "" for nothing
}

func newAzure(t *testing.T) *azure {
	t.Helper()
	// One of its own: managed identities' tokens are cached for the process.
	uri := "https://" + strings.ToLower(rand.Text()) + ".example"
	a, err := entratest.Start(entratest.Options{
		Tenants: []string{tenant, tenant2},
		Clients: []entratest.Client{
			{ID: machine, Managed: true},
			{ID: client, Managed: true, Secrets: []string{canary}, Federated: []entratest.Federation{{}}},
		},
		Resources: []entratest.Resource{{ID: api, Version: 2, URIs: []string{uri, uri + "/"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	c := &azure{Authority: a, uri: uri}
	return c.in(t)
}

// in returns c for a subtest, with nothing in the environment and nothing
// wrong. An authority's keys take long to make.
func (c *azure) in(t *testing.T) *azure {
	t.Helper()
	c.Clear()
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		for _, prefix := range []string{"AZURE_", "IDENTITY_", "MSI_", "IMDS_"} {
			if strings.HasPrefix(name, prefix) {
				unset(t, name)
			}
		}
	}
	return &azure{Authority: c.Authority, t: t, uri: c.uri}
}

func unset(t *testing.T, name string) {
	t.Setenv(name, "") // restores it
	os.Unsetenv(name)
}

func (c *azure) set(values map[string]string) {
	for k, v := range values {
		c.t.Setenv(k, v)
	}
}

// The environments in which a credential is found.

func (c *azure) secret() {
	c.set(map[string]string{"AZURE_TENANT_ID": tenant, "AZURE_CLIENT_ID": client, "AZURE_CLIENT_SECRET": canary})
}

func (c *azure) workload() {
	assertion, err := c.Assertion(client)
	if err != nil {
		c.t.Fatal(err)
	}
	path := filepath.Join(c.t.TempDir(), "assertion")
	write(c.t, path, assertion)
	c.set(map[string]string{"AZURE_TENANT_ID": tenant, "AZURE_CLIENT_ID": client, "AZURE_FEDERATED_TOKEN_FILE": path})
}

func (c *azure) appService() { c.set(c.IdentityEnv()) }

func (c *azure) machine() { c.metadata = strings.TrimPrefix(c.IdentityURL(), "http://") }

func (c *azure) transport() *http.Transport {
	t := c.HTTPClient().Transport.(*http.Transport).Clone()
	t.Proxy = nil
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, _ := net.SplitHostPort(address)
		if host == metadataHost {
			// Never the real one: this machine may have it.
			if c.metadata == "" {
				return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("network is unreachable")}
			}
			address = c.metadata
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	return t
}

// source returns a source of e that asks c.
func (c *azure) source(e Entra) *Default {
	c.t.Helper()
	return c.sourceWith(e, DefaultOptions{AuthorityHost: c.URL(), DisableInstanceDiscovery: true, Transport: c.transport()})
}

func (c *azure) sourceWith(e Entra, o DefaultOptions) *Default {
	c.t.Helper()
	d, err := NewDefault(e, o)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(d.Close)
	d.limit = time.Minute // that of the tests is their own
	return d
}

// asked returns the last request that yielded a token.
func (c *azure) asked() entratest.Request {
	c.t.Helper()
	all := c.Requests()
	for i := len(all) - 1; i >= 0; i-- {
		if e := all[i].Endpoint; e == entratest.TokenEndpoint || e == entratest.IdentityEndpoint && all[i].Scope != "" {
			return all[i]
		}
	}
	c.t.Fatal("nothing was asked for")
	return entratest.Request{}
}
