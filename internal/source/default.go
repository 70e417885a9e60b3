package source

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"sync"
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

	chainVariable = "AZURE_TOKEN_CREDENTIALS"
)

// environment is held while [chainVariable] has a value that is not the
// user's. The environment is the process's, and so is its lock.
var environment sync.Mutex

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

	ctx   context.Context // ends with Close
	stop  context.CancelFunc
	slots chan struct{} // one for each call that runs
	once  sync.Once
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
		slots:  make(chan struct{}, maxCalls),
	}
	d.ctx, d.stop = context.WithCancel(context.Background())
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

// Close ends the calls that run and waits for them. Token fails afterwards.
func (d *Default) Close() {
	d.once.Do(func() {
		d.stop()
		for range maxCalls {
			d.slots <- struct{}{} // kept: no call begins again
		}
		d.client.CloseIdleConnections()
	})
}

// Token acquires a token. When ask wants another one, the caches of azidentity
// and MSAL are passed by; what comes may be the same nevertheless.
//
// It returns when ctx ends, which azidentity's locks do not heed: the call
// runs in a goroutine that outlives ctx until its requests have noticed.
func (d *Default) Token(ctx context.Context, ask token.Ask) (token.Token, error) {
	if chain := os.Getenv(chainVariable); chain == "" || chain == "prod" {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.limit)
		defer cancel()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.ctx, cancel)()

	trip := new(trip)
	select {
	case d.slots <- struct{}{}:
	case <-ctx.Done():
		return token.Token{}, d.ended(ctx, trip)
	}
	done := make(chan result, 1)
	go func() {
		defer func() { <-d.slots }()
		done <- d.acquire(context.WithValue(ctx, tripKey{}, trip), ask)
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return token.Token{}, d.failure(ctx, r.err, trip)
		}
		return token.New(r.token.Token, defaultName, r.token.ExpiresOn)
	case <-ctx.Done():
		return token.Token{}, d.ended(ctx, trip)
	}
}

type result struct {
	token azcore.AccessToken
	err   error
}

// acquire makes a credential for this one call. What it would remember, the
// cache above remembers too; and it would hold on to its first success for
// ever, to a rejected token, and to a certificate that was replaced since.
func (d *Default) acquire(ctx context.Context, ask token.Ask) (r result) {
	defer func() {
		if p := recover(); p != nil {
			r.err = errPanic
		}
	}()
	credential, prod, err := d.credential()
	if err != nil {
		return result{err: errors.Join(errChain, err)}
	}
	o := policy.TokenRequestOptions{
		Scopes:    []string{d.scope},
		TenantID:  d.entra.Tenant,
		Claims:    ask.Claims,
		EnableCAE: true, // always: each setting has a cache of its own
	}
	if prod && forced(ask) && o.Claims == "" {
		// The cache of managed identities is the process's. Claims pass it
		// by, and are not sent. The developer tools would fail on them.
		o.Claims = "{}"
	}
	r.token, r.err = credential.GetToken(ctx, o)
	return r
}

// credential returns a new chain, and whether it is the one without the
// developer's tools. Those have a source of their own, and a chain that has
// them never comes to them where something strange answers at the metadata
// service's address.
func (d *Default) credential() (c *azidentity.DefaultAzureCredential, prod bool, err error) {
	environment.Lock()
	defer environment.Unlock()
	chosen := os.Getenv(chainVariable)
	if chosen == "" {
		previous, was := os.LookupEnv(chainVariable)
		defer func() {
			os.Unsetenv(chainVariable)
			if was {
				os.Setenv(chainVariable, previous)
			}
		}()
		chosen = "prod"
		if err := os.Setenv(chainVariable, chosen); err != nil {
			return nil, false, err
		}
	}
	c, err = azidentity.NewDefaultAzureCredential(&d.options)
	return c, chosen == "prod", err
}
