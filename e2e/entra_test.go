package e2e_test

import (
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

const (
	tenant = "16b3c013-d300-468d-8c1d-000000000000"
	app    = "11111111-d300-468d-8c1d-000000000000"
	api    = "58348f96-645d-4a2e-8c1d-000000000000"
)

// TestCurlGetsEntraToken: the client secret is in the environment of serve,
// the token comes from the authority, and the upstream validates it as a
// protected API does. Once revoked, it is replaced.
func TestCurlGetsEntraToken(t *testing.T) {
	t.Parallel()
	program := need(t, "curl")
	const secret = "an0ther-s3cret-of-the-app"
	a, err := entratest.Start(entratest.Options{
		Tenants:   []string{tenant},
		Clients:   []entratest.Client{{ID: app, Secrets: []string{secret}}},
		Resources: []entratest.Resource{{ID: api, Version: 2}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	authorityCA := filepath.Join(t.TempDir(), "authority.pem")
	writeFile(t, authorityCA, string(a.CAPEM()))

	w := newWorld(t)
	u := w.protected("api.corp.test", func(bearer string) bool {
		_, err := a.Validate(bearer, api)
		return err == nil
	}, http2too, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("welcome"))
	}))
	p := w.serve(options{
		rules: `
[entra]
authority_host = "` + a.URL() + `"
disable_instance_discovery = true
[audience.api]
client_id = "` + api + `"
tenant = "` + tenant + `"
[[rule]]
prefix = "` + u.url + `/"
audience = "api"
`,
		env:    []string{"AZURE_TENANT_ID=" + tenant, "AZURE_CLIENT_ID=" + app, "AZURE_CLIENT_SECRET=" + secret},
		trust:  []string{authorityCA},
		hidden: []string{secret},
	})
	get := func(path string) {
		t.Helper()
		if got, _ := (client{}).run(t, program, curl(p, u.url+path)...); got != "welcome" {
			t.Errorf("%s: %q, want a welcome", path, got)
		}
	}
	get("/first")
	get("/second")
	if n := a.Count(entratest.Request{Endpoint: entratest.TokenEndpoint}); n != 1 {
		t.Errorf("two requests took %d tokens, want one", n)
	}
	a.RevokeAll()
	get("/third")
	var statuses []int
	for _, v := range u.to("/third") {
		statuses = append(statuses, v.status)
		if strings.Contains(p.log.String(), bearerOf(v.header)) {
			t.Error("the log has a token")
		}
	}
	if want := []int{http.StatusUnauthorized, http.StatusOK}; !slices.Equal(statuses, want) {
		t.Errorf("the attempts were answered %d, want %d", statuses, want)
	}
}
