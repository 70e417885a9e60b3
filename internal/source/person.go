package source

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/injectproxy/injectproxy/internal/token"
)

const (
	deviceCodeName = "device-code"
	browserName    = "browser"

	// browserGrace is how long Close waits for a browser. The desktop may have
	// started it as the child of a command that we wait for, which then ends
	// when the user closes the browser.
	browserGrace = 5 * time.Second
)

// PersonOptions say where a [Person] signs in and what it leaves behind.
type PersonOptions struct {
	DefaultOptions           // AuthorityHost, "" also being that of AZURE_AUTHORITY_HOST, is where the person goes
	Sessions       *Sessions // who has signed in; nil is one of its own that keeps nothing
	Login          string    // what Command returns; "" means "injectproxy login"
}

// Person yields tokens of somebody who signed in by device code or in a
// browser. It is safe for concurrent use; Close must be called when it is no
// longer needed.
type Person struct {
	name    string // deviceCodeName or browserName
	scope   string
	login   string
	session *session
	client  *http.Client
	limit   time.Duration // of one acquisition
	grace   time.Duration // of Close for a sign-in; 0 is without end
	silent  *calls
	signIns *calls
}

var _ Interactive = (*Person)(nil)

// NewDeviceCode returns the source of e's tokens for somebody who signs in
// with a code, in a browser of any device (RFC 8628). It opens nothing yet and
// fails only on an invalid audience or authority host.
func NewDeviceCode(e Entra, o PersonOptions) (*Person, error) {
	return newPerson(deviceCodeName, e, o)
}

// NewBrowser is [NewDeviceCode] for somebody who signs in in a browser of this
// machine (RFC 8252). azidentity opens it, as the desktop's default; it gets
// the environment of this process.
func NewBrowser(e Entra, o PersonOptions) (*Person, error) {
	p, err := newPerson(browserName, e, o)
	if err == nil {
		p.grace = browserGrace
	}
	return p, err
}

func newPerson(name string, e Entra, o PersonOptions) (*Person, error) {
	audience, err := e.Resolve()
	if err != nil {
		return nil, err
	}
	authority := authorityOf(o.AuthorityHost)
	if u, err := url.Parse(authority); err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("authority_host %q is not an https URL", authority)
	}
	if o.Sessions == nil {
		o.Sessions = NewSessions("", nil)
	}
	if o.Login == "" {
		o.Login = "injectproxy login"
	}
	return &Person{
		name:  name,
		scope: audience.Scope,
		login: o.Login,
		session: o.Sessions.of(realm{
			authority: authority, tenant: strings.ToLower(e.Tenant), undiscovered: o.DisableInstanceDiscovery}),
		client:  newClient(o.Transport),
		limit:   limit,
		silent:  newCalls(maxCalls),
		signIns: newCalls(1),
	}, nil
}

// Close ends the calls and the sign-in that run and waits for them, for a
// browser at most 5 s. Token and SignIn fail afterwards.
func (p *Person) Close() {
	p.silent.close(0)
	p.signIns.close(p.grace)
	p.client.CloseIdleConnections()
}

// Command implements [Interactive]. A sign-in made from a terminal answers to
// no challenge in particular, so that the command is the same for all claims.
func (p *Person) Command(string) string { return p.login }

// Kept reports whether a sign-in outlives the process in which it is made: if
// not, one made by another process helps nobody here.
func (p *Person) Kept() bool { return p.session.kept() }

// watch implements [watched].
func (p *Person) watch() func() bool {
	m := p.session.mark()
	return func() bool { return p.session.since(m) }
}

// Token yields a token of who signed in, in this process or, where the system
// has a store for that, in any. It never asks anybody for anything: without a
// session that serves it fails with [token.SignIn]. It returns when ctx ends,
// and after 8 s at the latest.
func (p *Person) Token(ctx context.Context, ask token.Ask) (token.Token, error) {
	ctx, cancel := context.WithTimeout(ctx, p.limit)
	defer cancel()
	h := new(hearing)
	r, ok := await(ctx, p.silent, func(ctx context.Context) result { return p.acquire(ctx, ask, h) })
	if !ok {
		return token.Token{}, p.ended(ctx, h)
	}
	return r.token, r.err
}

func (p *Person) acquire(ctx context.Context, ask token.Ask, h *hearing) (r result) {
	m := p.session.mark()
	defer func() {
		if recover() != nil {
			r = result{err: p.fail(panicked)}
		}
	}()
	o, err := p.request(ask.Claims)
	if err != nil {
		return result{err: err}
	}
	credential := p.session.credential()
	if credential == nil {
		return result{err: p.stale(p.fail(p.absent()), m)}
	}
	if forced(ask) && o.Claims == "" {
		o.Claims = "{}" // has the refresh token redeemed, whatever is cached
	}
	got, err := credential.GetToken(p.attach(ctx, h), o)
	if err != nil {
		return result{err: p.stale(p.refusal(ctx, err, h), m)}
	}
	t, err := token.New(got.Token, p.name, got.ExpiresOn)
	if err != nil {
		return result{err: p.fail(unusable)}
	}
	return result{token: t}
}

// absent is the reason when nobody has signed in. Where no sign-in but our own
// would be known here, the command for one is no help.
func (p *Person) absent() reason {
	if p.session.path != "" && !p.session.kept() {
		return reason{nobody.class, nobody.message + ", and this system has no store for one that was made elsewhere",
			`set login = "auto" in [token], or add "az" to the audience's sources`}
	}
	return nobody
}

// stale has e tell whether somebody has signed in since m.
func (p *Person) stale(e *token.Error, m mark) *token.Error {
	e.Stale = func() bool { return p.session.since(m) }
	return e
}

func (p *Person) request(claims string) (policy.TokenRequestOptions, error) {
	if !passable(claims) {
		return policy.TokenRequestOptions{}, p.fail(garbled)
	}
	return policy.TokenRequestOptions{
		Scopes:    []string{p.scope},
		TenantID:  p.session.tenant,
		Claims:    claims,
		EnableCAE: true, // always: each setting has a cache of its own
	}, nil
}

// passable reports whether MSAL can add to claims what this client is capable
// of. Where it cannot, it fails as if nobody had signed in.
func passable(claims string) bool {
	if claims == "" {
		return true
	}
	var all map[string]any
	if json.Unmarshal([]byte(claims), &all) != nil || all == nil {
		return false
	}
	access, ok := all["access_token"]
	if !ok {
		return true
	}
	fields, ok := access.(map[string]any)
	_, capable := fields["xms_cc"]
	return ok && !capable
}

// attach returns the context of a request that p makes.
func (p *Person) attach(ctx context.Context, h *hearing) context.Context {
	ctx = context.WithValue(ctx, clientKey{}, p.client)
	ctx = context.WithValue(ctx, tripKey{}, &h.trip)
	return context.WithValue(ctx, hearingKey{}, h)
}
