package source

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/injectproxy/injectproxy/internal/token"
)

const (
	// limit bounds one acquisition. Where nothing answers on the metadata
	// service's address, or something that is no metadata service, the chain
	// would take minutes, and the next source would never have its turn.
	limit = 8 * time.Second

	// maxCalls bounds the calls that run at once, should some of them hang in
	// spite of their context.
	maxCalls = 4
)

// DefaultOptions say where and how [NewDefault] asks. The zero value asks the
// public cloud (or AZURE_AUTHORITY_HOST) directly.
type DefaultOptions struct {
	AuthorityHost            string // https URL of a sovereign, private or simulated cloud
	DisableInstanceDiscovery bool   // do not have the authority confirmed by the public cloud

	// Transport is cloned, not used; nil dials directly, whatever the
	// environment says of proxies. A Proxy set here is asked about https only:
	// a managed identity's endpoint is this machine's.
	Transport *http.Transport
}

// Default yields tokens of an application or a managed identity by
// azidentity's DefaultAzureCredential. It is safe for concurrent use; Close
// must be called when it is no longer needed.
type Default struct {
	entra   Entra
	scope   string
	options azidentity.DefaultAzureCredentialOptions
	client  *http.Client
	limit   time.Duration // of one acquisition

	calls *calls
}

// NewDefault returns the source of e's tokens. Unless the user chose otherwise
// with AZURE_TOKEN_CREDENTIALS, it tries a client secret or certificate from
// the environment, then a workload identity, then a managed identity. It asks
// for nothing yet and fails only on an invalid audience or authority host.
func NewDefault(e Entra, o DefaultOptions) (*Default, error) {
	audience, err := e.Resolve()
	if err != nil {
		return nil, err
	}
	if u, err := url.Parse(o.AuthorityHost); o.AuthorityHost != "" && (err != nil || u.Scheme != "https" || u.Host == "") {
		return nil, fmt.Errorf("authority_host %q is not an https URL", o.AuthorityHost)
	}
	d := &Default{
		entra:  e,
		scope:  audience.Scope,
		client: newClient(o.Transport),
		limit:  limit,
		calls:  newCalls(maxCalls),
	}
	d.options = azidentity.DefaultAzureCredentialOptions{
		ClientOptions: azcore.ClientOptions{
			Cloud:           cloud.Configuration{ActiveDirectoryAuthorityHost: o.AuthorityHost},
			Transport:       d.client,
			Retry:           policy.RetryOptions{MaxRetries: 1, RetryDelay: 200 * time.Millisecond, MaxRetryDelay: time.Second, TryTimeout: 5 * time.Second},
			PerCallPolicies: []policy.Policy{observer{}},
		},
		DisableInstanceDiscovery: o.DisableInstanceDiscovery,
		TenantID:                 e.Tenant,
	}
	if e.Tenant != "" {
		// The audience's tenant is the user's word; credentials would
		// otherwise admit their own tenant only.
		d.options.AdditionallyAllowedTenants = []string{e.Tenant}
	}
	return d, nil
}

// Close ends the calls that run and waits for them. Token fails afterwards.
func (d *Default) Close() {
	d.calls.close(0)
	d.client.CloseIdleConnections()
}

// Token acquires a token. When ask wants another one, the caches of azidentity
// and MSAL are passed by; what comes may be the same nevertheless.
//
// It returns when ctx ends, and after 8 s at the latest. azidentity's locks do
// not heed ctx: the call runs in a goroutine that outlives ctx until its
// requests have noticed, and that Close waits for.
func (d *Default) Token(ctx context.Context, ask token.Ask) (token.Token, error) {
	ctx, expire := context.WithTimeoutCause(ctx, d.limit, errLimit)
	defer expire()
	seen := new(trip)
	r, ok := await(ctx, d.calls, func(ctx context.Context) result { return d.acquire(ctx, ask, seen) })
	if !ok {
		return token.Token{}, d.ended(ctx, seen)
	}
	return r.token, r.err
}

type result struct {
	token token.Token
	err   error
}
