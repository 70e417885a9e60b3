// Package exchange exchanges the access token of a user for one of another API,
// for the same user: the OAuth 2.0 on-behalf-of flow of Microsoft Entra ID.
//
// https://learn.microsoft.com/entra/identity-platform/v2-oauth2-on-behalf-of-flow
//
// What a user's token was exchanged for is given for that token alone: the key of
// all that is kept is the token itself, as a SHA-256. MSAL speaks to Entra, with a
// client for each request: its cache neither answers nor grows. Refused are answers
// that are no answer, a token that is not the user's, and whatever is not https; a
// redirect is not followed, and nothing that a token, a secret or Entra said is in an
// error.
package exchange

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"
)

// LeastLeft is how long a token has to be good for to be exchanged. Who is near the
// end of theirs gets another before long, and would take the exchanged one along.
const LeastLeft = 5 * time.Minute

// publicCloud is the authority of who is not told of another.
const publicCloud = "https://login.microsoftonline.com"

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

// Exchanger exchanges tokens for one API. Make one with New, and Close it. Its
// methods are safe for concurrent use.
type Exchanger struct {
	o          Options
	credential credential
	wire       *wire

	memory  memory
	flights singleflight.Group
	slots   *semaphore.Weighted // one for each request to Entra
	queue   *semaphore.Weighted // one for each request to Entra, and each that waits for its turn

	ctx     context.Context // ends with Close
	stop    context.CancelFunc
	closing sync.RWMutex // held for writing while it closes
	running sync.WaitGroup
}

// New returns an Exchanger. It reads the credential's files, and asks nobody.
func New(o Options) (*Exchanger, error) {
	if o.ClientID == "" || len(o.Scopes) == 0 || o.HTTP == nil {
		return nil, errors.New("exchange: options are missing")
	}
	if o.Authority == "" {
		o.Authority = publicCloud
	}
	o.Authority = strings.TrimRight(o.Authority, "/")
	u, err := url.Parse(o.Authority)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("the authority %q is not an https URL", o.Authority)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	c, err := newCredential(o.Credential, u.Hostname(), o.Log)
	if err != nil {
		return nil, err
	}
	e := &Exchanger{
		o: o, credential: c, wire: newWire(o.HTTP, u.Host, o.Now), memory: newMemory(),
		slots: semaphore.NewWeighted(atOnce), queue: semaphore.NewWeighted(atOnce + mayWait),
	}
	e.ctx, e.stop = context.WithCancel(context.Background())
	return e, nil
}

// Close ends what is asked at the moment and waits for it. Nothing is exchanged
// afterwards. The HTTP client is whose it was.
func (e *Exchanger) Close() {
	e.stop()
	e.closing.Lock() // whoever has not entered by now sees that it is over
	defer e.closing.Unlock()
	e.running.Wait()
	e.credential.close()
}

// Exchange returns a token for the API that speaks for the user that assertion
// speaks for: an access token of that tenant, which has been verified. The error is
// a *Refusal if Entra has decided, or cannot be asked; else ctx is over.
//
// A token that was exchanged before is returned until a minute before its end.
// From five minutes on another is asked for, while the old one serves.
func (e *Exchanger) Exchange(ctx context.Context, tenant, assertion string) (string, error) {
	q := plainQuery(tenant, assertion)
	a, due := e.memory.look(q, e.o.Now())
	if !a.known() {
		return e.wait(ctx, q)
	}
	if due {
		e.start(q) // nobody waits for it, but Close
	}
	return a.result()
}

// Again is Exchange after the API has refused what Exchange returned, with the
// claims that it asked for, a JSON object or "". It never returns refused. That stays
// what Exchange returns until there is another: not each API refuses what one does.
// Entra is asked for a few others within half a minute, and for no more then.
func (e *Exchanger) Again(ctx context.Context, tenant, assertion, refused, claims string) (string, error) {
	if claims != "" && !isClaims(claims) {
		return "", &Refusal{Reason: Misconfigured, Detail: "the API asks for claims that are no JSON object"}
	}
	if !canBeAsked(claims) {
		return "", &Refusal{Reason: Misconfigured, Detail: "the API asks for claims in a way that Entra knows nothing of"}
	}
	q := againQuery(tenant, assertion, refused, claims)
	if a := e.memory.replaced(q, e.o.Now()); a.known() {
		return a.result()
	}
	return e.wait(ctx, q)
}

// Held returns of how many tokens of users something is known at the moment.
func (e *Exchanger) Held() int {
	e.memory.mu.Lock()
	defer e.memory.mu.Unlock()
	return len(e.memory.of)
}
