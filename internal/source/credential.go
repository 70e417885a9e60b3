package source

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// credential is one of azidentity's that a person signs in to.
type credential interface {
	azcore.TokenCredential
	Authenticate(context.Context, *policy.TokenRequestOptions) (azidentity.AuthenticationRecord, error)
}

// device returns a credential whose user, if record is empty, has to sign in
// by what prompt tells.
func (s *session) device(cache azidentity.Cache, record azidentity.AuthenticationRecord, prompt func(context.Context, azidentity.DeviceCodeMessage) error) (credential, error) {
	return azidentity.NewDeviceCodeCredential(&azidentity.DeviceCodeCredentialOptions{
		AuthenticationRecord:           record,
		Cache:                          cache,
		ClientID:                       azureCLI,
		ClientOptions:                  s.options(),
		DisableAutomaticAuthentication: true,
		DisableInstanceDiscovery:       s.undiscovered,
		TenantID:                       s.tenant,
		UserPrompt:                     prompt,
	})
}

// browser returns a credential whose user has to sign in in a browser.
func (s *session) browser(cache azidentity.Cache) (credential, error) {
	return azidentity.NewInteractiveBrowserCredential(&azidentity.InteractiveBrowserCredentialOptions{
		Cache:                          cache,
		ClientID:                       azureCLI,
		ClientOptions:                  s.options(),
		DisableAutomaticAuthentication: true,
		DisableInstanceDiscovery:       s.undiscovered,
		TenantID:                       s.tenant,
	})
}

func (s *session) options() azcore.ClientOptions {
	return azcore.ClientOptions{
		Cloud:           cloud.Configuration{ActiveDirectoryAuthorityHost: s.authority},
		Transport:       relay{},
		Retry:           policy.RetryOptions{MaxRetries: 1, RetryDelay: 200 * time.Millisecond, MaxRetryDelay: time.Second, TryTimeout: 5 * time.Second},
		PerCallPolicies: []policy.Policy{observer{}, listener{}},
	}
}

// relay sends a request by the client of the source on whose behalf it is
// made: a session outlives the sources that share it.
type relay struct{}

type clientKey struct{}

func (relay) Do(r *http.Request) (*http.Response, error) {
	c, ok := r.Context().Value(clientKey{}).(*http.Client)
	if !ok {
		return nil, errors.New("nobody's request")
	}
	return c.Do(r)
}

// authorityOf returns the URL of the authority that azidentity would take,
// without a slash at the end.
func authorityOf(configured string) string {
	for _, a := range []string{configured, os.Getenv("AZURE_AUTHORITY_HOST"), cloud.AzurePublic.ActiveDirectoryAuthorityHost} {
		if a != "" {
			return strings.TrimRight(a, "/")
		}
	}
	return ""
}
