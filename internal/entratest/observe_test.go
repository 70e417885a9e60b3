package entratest_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

func TestRequestsAreRecordedWithoutCredentials(t *testing.T) {
	t.Parallel()
	const canary = "canary-4f1c9a"
	a := start(t)
	form := secretForm(url.Values{
		"client_secret": {canary}, "client_assertion": {canary}, "assertion": {canary}, "refresh_token": {canary},
		"code": {canary}, "code_verifier": {canary}, "device_code": {canary}, "password": {canary}, "claims": {`{"a":1}`},
	})
	if code := post(t.Context(), t, a, tenant, form); code != 7000215 {
		t.Fatalf("AADSTS%d", code)
	}
	all := a.Requests()
	if len(all) != 1 {
		t.Fatalf("%d requests", len(all))
	}
	if printed := fmt.Sprintf("%+v", all); strings.Contains(printed, canary) || !strings.Contains(printed, "redacted") {
		t.Errorf("recorded as %s", printed)
	}
	got := all[0]
	got.Form = nil
	want := entratest.Request{
		Endpoint: entratest.TokenEndpoint, Tenant: tenant, Client: app, Grant: "client_credentials",
		Scope: "api://" + apiV1 + "/.default", Claims: `{"a":1}`, Status: 401, Code: 7000215,
	}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("recorded %+v, want %+v", got, want)
	}
}

func TestCountTellsRequestsApart(t *testing.T) {
	t.Parallel()
	a := start(t)
	c := secretCredential(t, a, secret)
	mustGet(t, c, vault+"/.default")
	mustGet(t, c, vault+"/.default") // from the credential's own cache
	mustGet(t, c, "api://"+apiV2+"/.default")
	_, err := c.GetToken(t.Context(), policy.TokenRequestOptions{
		Scopes: []string{vault + "/.default"}, EnableCAE: true, Claims: `{"access_token":{"nbf":{"essential":true}}}`,
	})
	if err != nil {
		t.Fatal(err)
	}
	a.FailNext(1, entratest.AADSTS(50076))
	if _, err := get(t.Context(), secretCredential(t, a, secret), vault+"/.default"); err == nil {
		t.Fatal("no error")
	}
	tests := []struct {
		name    string
		pattern entratest.Request
		want    int
	}{
		{"token requests", tokenRequests, 4},
		{"of a scope", entratest.Request{Scope: vault + "/.default"}, 3},
		{"of a grant", entratest.Request{Grant: "client_credentials"}, 4},
		{"of another grant", entratest.Request{Grant: "refresh_token"}, 0},
		{"refused", entratest.Request{Code: 50076}, 1},
		{"answered", entratest.Request{Endpoint: entratest.TokenEndpoint, Status: 200}, 3},
		{"discovery", entratest.Request{Endpoint: entratest.DiscoveryEndpoint}, 2},
		{"of another tenant", entratest.Request{Tenant: apiV1}, 0},
	}
	for _, tt := range tests {
		if got := a.Count(tt.pattern); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
	var challenged int
	for _, r := range a.Requests() {
		if strings.Contains(r.Claims, `"nbf"`) {
			challenged++
		}
	}
	if challenged != 1 {
		t.Errorf("%d requests carried the claims challenge, want 1", challenged)
	}
}

func TestWaitReturnsTheContextsError(t *testing.T) {
	t.Parallel()
	a := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.WaitRequests(ctx, 1, tokenRequests); !errors.Is(err, context.Canceled) {
		t.Errorf("no request: %v", err)
	}
	if err := a.WaitRequests(ctx, 0, tokenRequests); err != nil {
		t.Errorf("nothing to wait for: %v", err)
	}
	if err := a.WaitIdle(ctx, tokenRequests); err != nil {
		t.Errorf("nothing in flight: %v", err)
	}
}

func TestServesWithTheCertificateGiven(t *testing.T) {
	t.Parallel()
	key := rsaKey()
	cert := tls.Certificate{Certificate: [][]byte{selfSigned(t, key).Raw}, PrivateKey: key}
	a := start(t, func(o *entratest.Options) { o.Certificate, o.Host = &cert, "localhost" })
	address, err := url.Parse(a.URL())
	if err != nil || address.Hostname() != "localhost" {
		t.Fatalf("URL %s, %v", a.URL(), err)
	}
	conn, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", address.Port()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	served := conn.(*tls.Conn).ConnectionState().PeerCertificates[0]
	if string(served.Raw) != string(cert.Certificate[0]) {
		t.Error("another certificate is served")
	}
}

func TestStrangerDoesNotTrustTheAuthority(t *testing.T) {
	t.Parallel()
	a, other := start(t), start(t)
	resp, err := other.HTTPClient().Get(a.URL() + "/" + tenant + "/discovery/keys")
	var unverified *tls.CertificateVerificationError
	if err == nil {
		resp.Body.Close()
	}
	if !errors.As(err, &unverified) {
		t.Errorf("a client of another authority: %v", err)
	}
	if _, ok := a.HTTPClient().Transport.(*http.Transport); !ok {
		t.Errorf("transport is %T, which callers clone", a.HTTPClient().Transport)
	}
}

func TestStartRefusesBadDirectories(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]entratest.Options{
		"no tenant":        {},
		"tenant no GUID":   {Tenants: []string{"contoso.example"}},
		"client no GUID":   {Tenants: []string{tenant}, Clients: []entratest.Client{{ID: "x"}}},
		"resource no GUID": {Tenants: []string{tenant}, Resources: []entratest.Resource{{}}},
		"version":          {Tenants: []string{tenant}, Resources: []entratest.Resource{{ID: apiV1, Version: 3}}},
		"lifetime":         {Tenants: []string{tenant}, Lifetime: -1},
		"certificate":      {Tenants: []string{tenant}, Certificate: new(tls.Certificate)},
	} {
		if a, err := entratest.Start(o); err == nil {
			t.Errorf("%s: accepted", name)
			a.Close()
		}
	}
}
