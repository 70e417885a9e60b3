package exchange

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
)

// tokenFile is the variable with the path of a workload identity's assertion.
const tokenFile = "AZURE_FEDERATED_TOKEN_FILE"

// federated is the assertion of what runs the gate, got anew for each request.
type federated struct {
	proof confidential.Credential
	ended func()
}

func (f federated) current() confidential.Credential { return f.proof }
func (f federated) close()                           { f.ended() }

// newWorkload returns the assertion that Kubernetes projects into a file, and
// renews there.
func newWorkload() (credential, error) {
	path := os.Getenv(tokenFile)
	if path == "" {
		return nil, fmt.Errorf("federated = %q: %s is not set: label the pod azure.workload.identity/use, and give it a service account", WorkloadIdentity, tokenFile)
	}
	read := func() (string, error) {
		_, text, err := readFile(path)
		if err != nil {
			return "", fmt.Errorf("%s: %w", tokenFile, err)
		}
		assertion := strings.TrimSpace(string(text))
		if !isToken(assertion) {
			return "", fmt.Errorf("%s: it is no token", tokenFile)
		}
		return assertion, nil
	}
	if _, err := read(); err != nil {
		return nil, err
	}
	proof := confidential.NewCredFromAssertionCallback(func(context.Context, confidential.AssertionRequestOptions) (string, error) {
		assertion, err := read()
		if err != nil {
			return "", &Refusal{Reason: Misconfigured, Detail: err.Error()}
		}
		return assertion, nil
	})
	return federated{proof, func() {}}, nil
}

// machine is a managed identity. Its endpoint is this machine's: no proxy is on the
// way there.
type machine struct {
	identity azcore.TokenCredential
	scope    string
	turn     chan struct{} // azidentity's locks do not heed a context
}

func newMachine(id, host string) (credential, error) {
	transport := nearby()
	o := azidentity.ManagedIdentityCredentialOptions{ClientOptions: azcore.ClientOptions{
		Transport: &http.Client{Transport: transport},
		Retry:     policy.RetryOptions{MaxRetries: 1, RetryDelay: 200 * time.Millisecond, MaxRetryDelay: time.Second, TryTimeout: 4 * time.Second},
	}}
	if id != "" {
		o.ID = azidentity.ClientID(id)
	}
	identity, err := azidentity.NewManagedIdentityCredential(&o)
	if err != nil {
		return nil, fmt.Errorf("federated = %q: where this runs it cannot be had, or has no identity of one's choice", ManagedIdentity)
	}
	m := &machine{identity: identity, scope: exchangeScope(host), turn: make(chan struct{}, 1)}
	return federated{confidential.NewCredFromAssertionCallback(m.assertion), transport.CloseIdleConnections}, nil
}

// nearby is the way to an endpoint of this machine. The environment's proxy is not
// on it: what asks the metadata service through one is refused there, or answered
// with the identity of the proxy's machine.
func nearby() *http.Transport {
	return &http.Transport{DialContext: (&net.Dialer{Timeout: 4 * time.Second}).DialContext, MaxIdleConns: 4, IdleConnTimeout: time.Minute}
}

// exchangeScope is what the assertion is for, by the cloud that the authority is of.
//
// https://learn.microsoft.com/entra/workload-id/workload-identity-federation-config-app-trust-managed-identity
func exchangeScope(host string) string {
	audience := "api://AzureADTokenExchange"
	switch {
	case strings.HasSuffix(host, ".us"):
		audience += "USGov"
	case strings.HasSuffix(host, ".cn"):
		audience += "China"
	}
	return audience + "/.default"
}

// assertion returns a token of the managed identity. azidentity has a memory of
// its own for it.
func (m *machine) assertion(ctx context.Context, _ confidential.AssertionRequestOptions) (string, error) {
	select {
	case m.turn <- struct{}{}:
		defer func() { <-m.turn }()
	case <-ctx.Done():
		return "", m.unanswered()
	}
	t, err := m.identity.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{m.scope}})
	if err == nil {
		return t.Token, nil
	}
	failed, ok := errors.AsType[*azidentity.AuthenticationFailedError](err)
	if ctx.Err() != nil || !ok || failed.RawResponse == nil {
		return "", m.unanswered()
	}
	status := failed.RawResponse.StatusCode
	r := &Refusal{Reason: Misconfigured, Detail: "the managed identity gave no assertion (HTTP " + strconv.Itoa(status) + "): check that one is assigned, and identity"}
	if status == http.StatusTooManyRequests || status >= 500 {
		r.Reason = Unavailable
	}
	return "", r
}

func (m *machine) unanswered() *Refusal {
	return &Refusal{Reason: Unavailable, Detail: "the managed identity's endpoint does not answer: check that one is assigned to what the gate runs on"}
}
