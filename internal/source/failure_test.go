package source

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/entratest"
	"github.com/injectproxy/injectproxy/internal/token"
)

func TestAuthoritysErrorsGetTheirClass(t *testing.T) {
	c := newAzure(t)
	c.secret()
	src := c.source(Entra{ClientID: api, Tenant: tenant})
	for class, codes := range classes() {
		for _, code := range codes {
			if code < 1000 {
				continue // none of Entra's
			}
			f := entratest.AADSTS(code)
			f.Description = canary // an authority may quote what it got
			c.Fail(f)
			_, err := src.Token(t.Context(), token.Ask{})
			e := wantError(t, err, class)
			if want := fmt.Sprintf("AADSTS%d", code); e.Code != want {
				t.Errorf("%s: code %q", want, e.Code)
			}
			if class == token.SignIn && e.Hint != "az login --tenant "+tenant+" --scope api://"+api+"/.default --allow-no-subscriptions" {
				t.Errorf("hint %q", e.Hint)
			}
			c.Clear()
		}
	}
}

func TestAnsweringBadlyIsToldFromConfiguration(t *testing.T) {
	c := newAzure(t)
	c.secret()
	src := c.source(Entra{ClientID: api})
	for name, x := range map[string]struct {
		f     entratest.Failure
		class token.Class
		retry time.Duration
	}{
		"429":           {entratest.Failure{Status: 429, RetryAfter: 30 * time.Second}, token.Transient, 30 * time.Second},
		"503":           {entratest.Failure{Status: 503, RetryAfter: 48 * time.Hour}, token.Transient, maxRetryAfter},
		"500 with text": {entratest.Failure{Status: 500, Body: canary}, token.Transient, 0},
		"busy code":     {entratest.Failure{Code: 90033, Status: 503, RetryAfter: 7 * time.Second}, token.Transient, 7 * time.Second},
		"captive page":  {entratest.Failure{Status: 200, Body: "<html>" + canary}, token.Unknown, 0},
		"teapot":        {entratest.Failure{Status: 418, Body: canary}, token.Unknown, 0},
		"reset":         {entratest.Failure{Reset: true}, token.Transient, 0},
	} {
		c.Fail(x.f)
		_, err := src.Token(t.Context(), token.Ask{})
		if e := wantError(t, err, x.class); e.RetryAfter != x.retry {
			t.Errorf("%s: retry after %v, want %v", name, e.RetryAfter, x.retry)
		}
		c.Clear()
	}
	c.Down()
	_, err := src.Token(t.Context(), token.Ask{})
	wantError(t, err, token.Transient)
	c.Up()
	if _, err := src.Token(t.Context(), token.Ask{}); err != nil {
		t.Errorf("after it came back: %v", err)
	}
}

func TestWrongSecretAndUnknownNamesAreExplained(t *testing.T) {
	c := newAzure(t)
	c.secret()
	for name, x := range map[string]struct {
		entra     Entra
		variables map[string]string
		says      string
	}{
		"secret": {Entra{ClientID: api}, map[string]string{"AZURE_CLIENT_SECRET": canary + "x"}, "AADSTS7000215"},
		"client": {Entra{ClientID: api}, map[string]string{"AZURE_CLIENT_ID": api}, "AADSTS700016"},
		"API":    {Entra{ClientID: client}, nil, "AADSTS500011"},
		"tenant": {Entra{ClientID: api, Tenant: api}, nil, "AADSTS90002"},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range x.variables {
				t.Setenv(k, v)
			}
			_, err := c.source(x.entra).Token(t.Context(), token.Ask{})
			if e := wantError(t, err, token.Misconfigured); e.Code != x.says {
				t.Errorf("got %v, want %s", e, x.says)
			}
		})
	}
}

func TestUntrustedCertificateAndUnknownHostAreTold(t *testing.T) {
	c := newAzure(t)
	c.secret()
	strict := c.transport()
	strict.TLSClientConfig = nil // trusts the system's roots, not this authority
	src := c.sourceWith(Entra{ClientID: api}, DefaultOptions{AuthorityHost: c.URL(), DisableInstanceDiscovery: true, Transport: strict})
	_, err := src.Token(t.Context(), token.Ask{})
	if e := wantError(t, err, token.Misconfigured); !strings.Contains(e.Hint, "upstream_ca") {
		t.Errorf("got %v, hint %q", e, e.Hint)
	}
	src = c.sourceWith(Entra{ClientID: api}, DefaultOptions{AuthorityHost: "https://login.invalid", DisableInstanceDiscovery: true, Transport: c.transport()})
	_, err = src.Token(t.Context(), token.Ask{})
	if e := wantError(t, err, token.Transient); !strings.Contains(e.Message, "login.invalid") {
		t.Errorf("got %v", e)
	}
	for _, host := range []string{"http://login.example", "login.example", "https://", "%"} {
		if d, err := NewDefault(Entra{ClientID: api}, DefaultOptions{AuthorityHost: host}); err == nil {
			d.Close()
			t.Errorf("authority host %q was accepted", host)
		}
	}
}

func TestNothingConfiguredSaysWhatToSet(t *testing.T) {
	cloud := newAzure(t)
	garbage := filepath.Join(t.TempDir(), "garbage")
	write(t, garbage, canary)
	for name, x := range map[string]struct {
		variables map[string]string
		says      string
		whole     bool // something is configured, which cannot be used
	}{
		"nothing":           {nil, "neither", false},
		"secret alone":      {map[string]string{"AZURE_CLIENT_SECRET": canary, "AZURE_CLIENT_ID": client}, "AZURE_TENANT_ID is not", false},
		"no client":         {map[string]string{"AZURE_CLIENT_SECRET": canary, "AZURE_TENANT_ID": tenant}, "AZURE_CLIENT_ID is not", false},
		"no certificate":    {map[string]string{"AZURE_CLIENT_CERTIFICATE_PATH": garbage, "AZURE_TENANT_ID": tenant, "AZURE_CLIENT_ID": client}, "cannot be used", true},
		"unusable tenant":   {map[string]string{"AZURE_CLIENT_SECRET": canary, "AZURE_TENANT_ID": "a b", "AZURE_CLIENT_ID": client}, "cannot be used", true},
		"the tools' chain":  {map[string]string{chainVariable: "AzureCLICredential", "PATH": t.TempDir()}, "AzureCLICredential", false},
		"another tool":      {map[string]string{chainVariable: "azuredevelopercliCredential"}, "the source azd", true},
		"all the tools":     {map[string]string{chainVariable: "dev"}, "the source az", false},
		"workload, no pods": {map[string]string{"AZURE_FEDERATED_TOKEN_FILE": garbage}, "AZURE_TENANT_ID is not", false},
	} {
		t.Run(name, func(t *testing.T) {
			c := cloud.in(t)
			c.set(x.variables)
			_, err := c.source(Entra{ClientID: api}).Token(t.Context(), token.Ask{})
			e := wantError(t, err, token.Misconfigured)
			if passesOn(e) == x.whole || !strings.Contains(e.Message, x.says) {
				t.Errorf("got %v (wraps %v), want it to say %q", e, e.Err, x.says)
			}
		})
	}
}

func TestUnreadableAssertionIsNamed(t *testing.T) {
	c := newAzure(t)
	c.workload()
	c.set(map[string]string{"AZURE_FEDERATED_TOKEN_FILE": filepath.Join(t.TempDir(), "none")})
	_, err := c.source(Entra{ClientID: api}).Token(t.Context(), token.Ask{})
	if e := wantError(t, err, token.Misconfigured); !strings.Contains(e.Message, "AZURE_FEDERATED_TOKEN_FILE") {
		t.Errorf("got %v", e)
	}
}

func TestAnotherCloudsMetadataServiceIsNoCredential(t *testing.T) {
	c := newAzure(t)
	for _, status := range []int{400, 401, 403, 404} {
		c.machine()
		c.Fail(entratest.Failure{Endpoint: entratest.IdentityEndpoint, Status: status, Body: canary})
		_, err := c.source(Entra{ClientID: api}).Token(t.Context(), token.Ask{Claims: "{}"})
		if e := wantError(t, err, token.Misconfigured); !errors.Is(e, ErrNoCredential) {
			t.Errorf("%d: %v does not let another source try", status, e)
		}
		c.Clear()
	}
	c.Clear()
	c.appService()
	c.Fail(entratest.Failure{Endpoint: entratest.IdentityEndpoint, Status: 400, Body: canary})
	_, err := c.source(Entra{ClientID: api}).Token(t.Context(), token.Ask{Claims: "{}"})
	if e := wantError(t, err, token.Misconfigured); errors.Is(e, ErrNoCredential) {
		t.Error("a managed identity that was configured and refused does not count")
	}
}

func TestMetadataServiceThatSaysNothingSensibleIsNoCredential(t *testing.T) {
	c := newAzure(t)
	for name, f := range map[string]entratest.Failure{
		"a page":                 {Status: 200, Body: "<html>" + canary},
		"JSON of something else": {Status: 200, Body: `{"hello":"` + canary + `"}`},
		"a cut connection":       {Reset: true},
		"silence":                {Hang: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := c.in(t)
			c.machine()
			f.Endpoint = entratest.IdentityEndpoint
			c.Fail(f)
			src := c.source(Entra{ClientID: api})
			src.limit = 3 * time.Second
			_, err := src.Token(t.Context(), token.Ask{Claims: "{}"})
			if e := wantError(t, err, token.Misconfigured); !errors.Is(e, ErrNoCredential) {
				t.Errorf("%v does not let another source try", e)
			}
			c.Clear()
		})
	}
}

func TestMetadataServiceThatFallsSilentIsNoCredential(t *testing.T) {
	c := newAzure(t)
	c.machine()
	c.Fail(entratest.Failure{Endpoint: entratest.IdentityEndpoint, Hang: true})
	c.FailNext(1, entratest.Failure{Endpoint: entratest.IdentityEndpoint, Status: 400}) // the probe is answered
	src := c.source(Entra{ClientID: api})
	src.limit = 300 * time.Millisecond
	_, err := src.Token(t.Context(), token.Ask{Claims: "{}"})
	if e := wantError(t, err, token.Misconfigured); !errors.Is(e, ErrNoCredential) {
		t.Errorf("%v does not let another source try", e)
	}
	c.Clear()

	// A caller that leaves is no sign of anything.
	c.Fail(entratest.Failure{Endpoint: entratest.IdentityEndpoint, Hang: true})
	c.FailNext(1, entratest.Failure{Endpoint: entratest.IdentityEndpoint, Status: 400})
	src.limit = time.Minute
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err = src.Token(ctx, token.Ask{Claims: "{}"})
	wantError(t, err, token.Transient)
	c.Clear()
}

func TestSecretIsNotSentWhereARedirectLeads(t *testing.T) {
	c := newAzure(t)
	c.secret()
	var strayed atomic.Int32
	other := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { strayed.Add(1) }))
	defer other.Close()
	front := httptest.NewUnstartedServer(nil)
	front.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
			return
		}
		fmt.Fprintf(w, `{"token_endpoint":"%[1]s/%[2]s/oauth2/v2.0/token","authorization_endpoint":"%[1]s/a","issuer":"%[1]s/%[2]s/v2.0"}`, front.URL, tenant)
	})
	front.StartTLS()
	defer front.Close()
	transport := front.Client().Transport.(*http.Transport)
	transport.TLSClientConfig.RootCAs.AddCert(other.Certificate())
	src := c.sourceWith(Entra{ClientID: api}, DefaultOptions{AuthorityHost: front.URL, DisableInstanceDiscovery: true, Transport: transport})
	_, err := src.Token(t.Context(), token.Ask{})
	wantError(t, err, token.Unknown)
	if n := strayed.Load(); n != 0 {
		t.Errorf("%d requests followed the redirect", n)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for v, want := range map[string]time.Duration{
		"": 0, "0": 0, "-1": 0, "x": 0, "120": 2 * time.Minute, "999999999999": maxRetryAfter,
		"Tue, 01 Jan 2030 00:01:00 GMT": time.Minute, "Mon, 31 Dec 2029 00:01:00 GMT": 0,
	} {
		if got := retryAfter(http.Header{"Retry-After": {v}}, now); got != want {
			t.Errorf("%q: got %v, want %v", v, got, want)
		}
	}
}
