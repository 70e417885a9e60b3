package main

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

const (
	testTenant = "5d0f7a1c-0c5e-4b52-9d4d-3d1f9f3f0a01"
	testClient = "9b1de1a5-53c8-4ac1-8b0e-6f1b1f6b7c02"
	testSecret = "client-secret~of.the-test"
	apiOne     = "58348f96-645d-4a2e-8c1d-1d2c3b4a5f03"
	apiTwo     = "16b3c013-d300-468d-8c1d-7a8b9c0d1e04"
)

// newIdentity starts an identity service that knows the test's client, which
// it puts into the environment.
func newIdentity(t *testing.T) *entratest.Authority {
	t.Helper()
	asTestClient(t)
	return startIdentity(t)
}

// asTestClient puts the test's client into the environment, where parallel
// subtests find it too.
func asTestClient(t *testing.T) {
	t.Helper()
	for name, value := range map[string]string{
		"AZURE_TENANT_ID": testTenant, "AZURE_CLIENT_ID": testClient, "AZURE_CLIENT_SECRET": testSecret,
		"AZURE_TOKEN_CREDENTIALS": "", "AZURE_CLIENT_CERTIFICATE_PATH": "", "AZURE_FEDERATED_TOKEN_FILE": "",
	} {
		t.Setenv(name, value)
	}
}

func startIdentity(t testing.TB, secrets ...string) *entratest.Authority {
	t.Helper()
	a, err := entratest.Start(entratest.Options{
		Tenants:   []string{testTenant},
		Clients:   []entratest.Client{{ID: testClient, Secrets: append(secrets, testSecret)}},
		Resources: []entratest.Resource{{ID: apiOne, Version: 2}, {ID: apiTwo, Version: 2}},
	})
	must(t, err)
	t.Cleanup(func() { a.Close() })
	return a
}

// entraAudiences are audiences a and b, of apiOne and apiTwo.
var entraAudiences = fmt.Sprintf("[audience.a]\nclient_id = %q\n[audience.b]\nclient_id = %q\n", apiOne, apiTwo)

// forToken is a request for a token of api, for an authority's methods.
func forToken(api string) entratest.Request {
	return entratest.Request{Endpoint: entratest.TokenEndpoint, Scope: "api://" + api + "/.default"}
}

// failing is how requests for a token of api go wrong.
func failing(api string, f entratest.Failure) entratest.Failure {
	f.Endpoint, f.Scope = entratest.TokenEndpoint, "api://"+api+"/.default"
	return f
}

// protected answers as an API does that a has issued tokens for.
func protected(a *entratest.Authority, api string) func(http.ResponseWriter, sighting) {
	return func(w http.ResponseWriter, s sighting) {
		if _, err := a.Validate(s.bearer(), api); err != nil {
			challenge(w)
			return
		}
		io.WriteString(w, "served")
	}
}
