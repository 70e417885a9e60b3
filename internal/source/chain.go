package source

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/injectproxy/injectproxy/internal/token"
)

// chainVariable selects what DefaultAzureCredential tries.
const chainVariable = "AZURE_TOKEN_CREDENTIALS"

// environment is held while [chainVariable] has a value that is not the
// user's. The environment is the process's, and so is its lock.
var environment sync.Mutex

// acquire makes a credential for this one call. What it would remember, the
// cache above remembers too; and it would hold on to its first success for
// ever, to a rejected token, and to a certificate that was replaced since.
func (d *Default) acquire(ctx context.Context, ask token.Ask, seen *trip) (r result) {
	defer func() {
		if recover() != nil {
			r = result{err: d.fail(reason{token.Unknown, "azidentity panicked", "report it, with the version that injectproxy version prints"})}
		}
	}()
	if r, az, ok := ofTools(); ok {
		e := d.fail(r)
		if az { // which is usually the next source
			e.Err = ErrNoCredential
		}
		return result{err: e}
	}
	credential, err := d.credential()
	if err != nil {
		return result{err: d.fail(reason{token.Misconfigured, chainVariable + " has a value that is not known", "unset " + chainVariable})}
	}
	o := policy.TokenRequestOptions{
		Scopes:    []string{d.scope},
		TenantID:  d.entra.Tenant,
		Claims:    ask.Claims,
		EnableCAE: true, // always: each setting has a cache of its own
	}
	if forced(ask) && o.Claims == "" {
		// The cache of managed identities is the process's. Claims pass it
		// by, and are not sent.
		o.Claims = "{}"
	}
	got, err := credential.GetToken(context.WithValue(ctx, tripKey{}, seen), o)
	if err != nil {
		return result{err: d.failure(ctx, err, seen)}
	}
	if d.entra.Tenant != "" && !isGUID(d.entra.Tenant) && seen.managed() {
		// It knows one tenant whatever it is asked, and its token names that by
		// its GUID: nothing here can tell whether it is the one that is meant.
		e := d.fail(reason{token.Misconfigured, "a managed identity's token may be of another tenant than " + d.entra.Tenant, "write the tenant's GUID as tenant of the audience"})
		e.Err = errNotAccepted
		return result{err: e}
	}
	t, err := token.New(got.Token, defaultName, got.ExpiresOn)
	if err != nil {
		return result{err: d.fail(reason{token.Unknown, "the identity service sent a token that no header may carry", checkRoute})}
	}
	return result{token: t}
}

// credential returns a new chain: the user's choice, or else the one without
// the developer's tools. Those have sources of their own, and a chain that has
// them never comes to them where something strange answers at the metadata
// service's address.
func (d *Default) credential() (*azidentity.DefaultAzureCredential, error) {
	environment.Lock()
	defer environment.Unlock()
	chosen, set := os.LookupEnv(chainVariable)
	if chosen == "" {
		if err := os.Setenv(chainVariable, "prod"); err != nil {
			return nil, err
		}
		defer func() {
			os.Unsetenv(chainVariable)
			if set {
				os.Setenv(chainVariable, "")
			}
		}()
	}
	return azidentity.NewDefaultAzureCredential(&d.options)
}

// ofTools says why there is nothing to be had here if the user chose az, azd or
// PowerShell. azidentity would run them with the whole of our environment, by a
// shell, and without an end; they are sources of their own. Az reports whether
// that one was chosen.
func ofTools() (r reason, az, chosen bool) {
	name := os.Getenv(chainVariable)
	source := map[string]string{
		"azureclicredential": "az", "azuredeveloperclicredential": "azd", "azurepowershellcredential": "powershell", "dev": "az",
	}[strings.ToLower(name)]
	return reason{token.Misconfigured, chainVariable + "=" + name + " leaves it to the source " + source,
		`set sources = ["` + source + `"] for the audience, or unset ` + chainVariable}, source == "az", source != ""
}

func newClient(t *http.Transport) *http.Client {
	if t == nil {
		t = &http.Transport{ForceAttemptHTTP2: true, IdleConnTimeout: 30 * time.Second}
	}
	t = t.Clone()
	if proxy := t.Proxy; proxy != nil {
		t.Proxy = func(r *http.Request) (*url.URL, error) {
			if r.URL.Scheme != "https" {
				return nil, nil
			}
			return proxy(r)
		}
	}
	return &http.Client{
		Transport: t,
		// A request here carries a secret; no answer may send it elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
