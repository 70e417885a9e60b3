package exchange

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

func TestAssertionOfAManagedIdentityIsForItsCloud(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"login.microsoftonline.com":        "api://AzureADTokenExchange/.default",
		"login.microsoftonline.us":         "api://AzureADTokenExchangeUSGov/.default",
		"login.partner.microsoftonline.cn": "api://AzureADTokenExchangeChina/.default",
		"127.0.0.1":                        "api://AzureADTokenExchange/.default",
	} {
		if got := exchangeScope(host); got != want {
			t.Errorf("%s: %s", host, got)
		}
	}
}

func TestManagedIdentityIsReachedWithoutAProxy(t *testing.T) {
	t.Parallel()
	if nearby().Proxy != nil {
		t.Error("the environment says how the metadata service is reached")
	}
}

// The environment is the process's: not parallel.
func TestManagedIdentityThatGivesNothingHasItsReason(t *testing.T) {
	a := newAzure(t)
	for k, v := range a.IdentityEnv() {
		t.Setenv(k, v)
	}
	ada, _ := people()
	exchange := func() error {
		e := a.exchanger(func(o *Options) { o.Credential = Credential{Federated: ManagedIdentity, Identity: uuid.NewString()} })
		_, err := e.Exchange(t.Context(), tenant, a.token(ada))
		return err
	}
	if r := wantRefusal(t, Misconfigured, exchange()); !strings.Contains(r.Detail, "assigned") {
		t.Errorf("without an identity: %v", r)
	}
	release := a.Fail(entratest.Failure{Endpoint: entratest.IdentityEndpoint, Status: http.StatusServiceUnavailable, Body: canary})
	wantRefusal(t, Unavailable, exchange())
	release()
	release = a.Fail(entratest.Failure{Endpoint: entratest.IdentityEndpoint, Reset: true})
	wantRefusal(t, Unavailable, exchange())
	release()
	if n := a.asked(ada); n != 0 {
		t.Errorf("Entra was asked %d times, without a credential", n)
	}
}

// The environment is the process's: not parallel.
func TestProjectedAssertionIsReadAgain(t *testing.T) {
	a := newAzure(t, func(o *entratest.Options) { o.Clients[0].Federated = []entratest.Federation{{}} })
	ada, _ := people()
	path := filepath.Join(t.TempDir(), "projected")
	t.Setenv("AZURE_FEDERATED_TOKEN_FILE", path)
	options := Options{ClientID: gateID, Scopes: []string{scope}, HTTP: a.HTTPClient(), Credential: Credential{Federated: WorkloadIdentity}}
	if _, err := New(options); err == nil || !strings.Contains(err.Error(), "AZURE_FEDERATED_TOKEN_FILE") {
		t.Fatalf("without the file: %v", err)
	}
	must(t, os.WriteFile(path, []byte(jwt(`{"sub":"`+canary+`"}`)), 0o600))
	e := a.exchanger(func(o *Options) { o.Credential = options.Credential })
	_, err := e.Exchange(t.Context(), tenant, a.token(ada))
	wantRefusal(t, Misconfigured, err)
	for _, text := range []string{"", canary + "\n" + canary, "токен"} {
		must(t, os.WriteFile(path, []byte(text), 0o600))
		_, err = e.Exchange(t.Context(), tenant, a.token(ada))
		if r := wantRefusal(t, Misconfigured, err); !strings.Contains(r.Detail, "no token") {
			t.Errorf("%q: %v", text, r)
		}
	}
	renewed, err := a.Assertion(gateID)
	must(t, err)
	must(t, os.WriteFile(path, []byte(renewed+"\n"), 0o600))
	got, err := e.Exchange(t.Context(), tenant, a.token(ada))
	must(t, err)
	a.speaksFor(ada, got)
	t.Setenv("AZURE_FEDERATED_TOKEN_FILE", "")
	if _, err := New(options); err == nil || !strings.Contains(err.Error(), "is not set") {
		t.Errorf("outside of Kubernetes: %v", err)
	}
}
