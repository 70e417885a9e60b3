package entratest_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/google/uuid"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

// rsaKey is one key for all tests: making them is what takes time.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func selfSigned(t *testing.T, key *rsa.PrivateKey) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "client"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestCertificateCredentialObtainsToken(t *testing.T) {
	t.Parallel()
	cert := selfSigned(t, rsaKey())
	a := start(t, func(o *entratest.Options) { o.Clients[0].Certificates = []*x509.Certificate{cert} })
	for _, chain := range []bool{false, true} {
		c, err := azidentity.NewClientCertificateCredential(tenant, app, []*x509.Certificate{cert}, rsaKey(), &azidentity.ClientCertificateCredentialOptions{
			ClientOptions: clientOptions(a), DisableInstanceDiscovery: true, SendCertificateChain: chain,
		})
		if err != nil {
			t.Fatal(err)
		}
		claims, err := a.Validate(mustGet(t, c, "api://"+apiV1+"/.default"), apiV1)
		if err != nil || claims["appidacr"] != "2" {
			t.Errorf("sending the chain %v: appidacr %v, %v", chain, claims["appidacr"], err)
		}
	}
}

func workloadCredential(t *testing.T, a *entratest.Authority, assertion string) *azidentity.WorkloadIdentityCredential {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(assertion), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
		ClientOptions: clientOptions(a), DisableInstanceDiscovery: true,
		ClientID: app, TenantID: tenant, TokenFilePath: file,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWorkloadIdentityObtainsToken(t *testing.T) {
	t.Parallel()
	a := start(t, func(o *entratest.Options) { o.Clients[0].Federated = []entratest.Federation{{}} })
	assertion, err := a.Assertion(app)
	if err != nil {
		t.Fatal(err)
	}
	token := mustGet(t, workloadCredential(t, a, assertion), "api://"+apiV2+"/.default")
	if claims, err := a.Validate(token, apiV2); err != nil || claims["azp"] != app {
		t.Errorf("azp %v, %v", claims["azp"], err)
	}
}

func TestManagedIdentityObtainsToken(t *testing.T) {
	// The SDK keeps these tokens for the whole process, by resource: this
	// one belongs to this test.
	mine := uuid.NewString()
	a := start(t, func(o *entratest.Options) {
		o.Clients = append(o.Clients, entratest.Client{ID: mine, Managed: true})
		o.Resources = append(o.Resources, entratest.Resource{ID: mine, Version: 2})
	})
	for name, value := range a.IdentityEnv() {
		t.Setenv(name, value)
	}
	options := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: clientOptions(a)}
	c, err := azidentity.NewManagedIdentityCredential(options)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := a.Validate(mustGet(t, c, "api://"+mine+"/.default"), mine)
	if err != nil || claims["azp"] != mine {
		t.Errorf("azp %v, %v", claims["azp"], err)
	}
	if n := a.Count(entratest.Request{Endpoint: entratest.IdentityEndpoint, Scope: "api://" + mine, Status: 200}); n != 1 {
		t.Errorf("%d requests for that resource were answered, want 1", n)
	}
	release := a.Fail(entratest.Failure{Status: http.StatusForbidden, Description: "closed today"})
	_, err = c.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"api://" + mine + "/.default"}, Claims: "{}"})
	if err == nil || !strings.Contains(err.Error(), "closed today") {
		t.Errorf("with a failure in effect: %v", err)
	}
	release()
}

// elsewhere sends every request to another host.
type elsewhere struct{ to *url.URL }

func (e elsewhere) Do(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host = e.to.Scheme, e.to.Host
	return http.DefaultTransport.RoundTrip(r)
}

func TestMachineIdentityObtainsToken(t *testing.T) {
	mine := uuid.NewString()
	a := start(t, func(o *entratest.Options) {
		o.Clients = append(o.Clients, entratest.Client{ID: app[:35] + "0", Managed: true}, entratest.Client{ID: mine, Managed: true})
		o.Resources = append(o.Resources, entratest.Resource{ID: mine})
	})
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	to, err := url.Parse(a.IdentityURL())
	if err != nil {
		t.Fatal(err)
	}
	options := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: clientOptions(a), ID: azidentity.ClientID(mine)}
	options.Transport = elsewhere{to}
	c, err := azidentity.NewManagedIdentityCredential(options)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := a.Validate(mustGet(t, c, "api://"+mine+"/.default"), mine)
	if err != nil || claims["appid"] != mine {
		t.Errorf("appid %v, %v", claims["appid"], err)
	}
}

func TestIdentityEndpointRefuses(t *testing.T) {
	t.Parallel()
	a := start(t, func(o *entratest.Options) { o.Clients[0].Managed = true })
	const machine = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=api://" + apiV1
	const service = "/msi/token?api-version=2019-08-01&resource=api://" + apiV1
	header := a.IdentityEnv()["IDENTITY_HEADER"]
	tests := []struct {
		name, path, header, value string
		status                    int
	}{
		{"machine by way of a proxy", machine, "X-Forwarded-For", "192.0.2.1", 400},
		{"machine", machine, "Metadata", "true", 200},
		{"machine without header", machine, "X", "y", 400},
		{"machine with another identity", machine + "&client_id=" + apiV1, "Metadata", "true", 400},
		{"machine without a resource", "/metadata/identity/oauth2/token?api-version=2018-02-01", "Metadata", "true", 400},
		{"service", service, "X-Identity-Header", header, 200},
		{"service without header", service, "X", "y", 401},
		{"service with another header", service, "X-Identity-Header", header + "0", 401},
		{"service of another version", strings.Replace(service, "2019", "2017", 1), "X-Identity-Header", header, 400},
		{"service for an unknown resource", service + "0", "X-Identity-Header", header, 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.IdentityURL()+tt.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if tt.header == "X-Forwarded-For" {
				req.Header.Set("Metadata", "true")
			}
			req.Header.Set(tt.header, tt.value)
			resp, err := a.HTTPClient().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var body map[string]any
			if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tt.status || (body["access_token"] != nil) != (tt.status == 200) {
				t.Errorf("status %d, want %d; body %v", resp.StatusCode, tt.status, body)
			}
		})
	}
}
