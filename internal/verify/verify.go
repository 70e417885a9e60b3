// Package verify says whether an access token of Microsoft Entra ID is genuine,
// meant for us and in force, and whom it speaks for.
//
// It refuses everything that it cannot prove: another algorithm than the ones
// configured, a key that the tenant does not publish, a tenant that is not
// listed, an issuer that is not that tenant's. It never asks a token where its
// keys are, and reads JSON exactly: names are not folded, none counts twice.
package verify

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// leeway is how far our clock and Entra's may be apart.
const leeway = time.Minute

// ErrUnavailable is what Verify reports when it cannot be told at the moment
// whether a token is valid: keys are needed that cannot be had.
var ErrUnavailable = errors.New("the tenant's signing keys cannot be had at the moment")

// Caller is whom a token speaks for. It is shared by all who show that token,
// and never changed.
type Caller struct {
	Tenant  string   // tid, in lower case
	Object  string   // oid, in lower case: the user, or the service principal of an application
	Client  string   // azp or appid, in lower case: the application that asks
	Scopes  []string // scp: what a user lets that application do
	Roles   []string // roles: what an administrator assigned
	Expires time.Time

	// Name and Username are for display: whoever administers the user can change
	// both, and give one that another had before. Nothing may be granted by them.
	// They are "" of applications and of tokens that do not say.
	Name     string // name
	Username string // preferred_username, or upn

	Fingerprint string // 8 hex digits of the token's SHA-256
}

// Options say which tokens are accepted.
type Options struct {
	Authority  string   // base URL of the authority; "": https://login.microsoftonline.com
	Tenants    []string // ids (GUIDs), at least one
	Audiences  []string // values of aud, at least one; compared exactly
	Clients    []string // values of azp or appid (GUIDs); none: any
	Algorithms []string // of RS256 and ES256; none: RS256

	HTTP *http.Client     // for the keys; required. It uses no proxy that is not configured
	Now  func() time.Time // nil: time.Now
	Log  *slog.Logger     // nil discards
}

// Verifier verifies tokens, by keys that [Verifier.Run] fetches. Its methods are
// safe for concurrent use.
type Verifier struct {
	rules *rules
	rings map[string]*ring // by tenant
	valid *cache
	now   func() time.Time
	end   sync.Once
}

// New returns a Verifier that has no keys yet: Run gets them.
func New(o Options) (*Verifier, error) {
	if o.HTTP == nil {
		return nil, errors.New("verifying tokens: a client for the keys is needed")
	}
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("verifying tokens: %w", err)
	}
	v := &Verifier{rules: newRules(o), rings: make(map[string]*ring), valid: newCache(), now: o.Now}
	for tenant, issuer := range v.rules.tenants {
		v.rings[tenant] = newRing(o, tenant, issuer)
	}
	return v, nil
}

// Run fetches the keys of all tenants and keeps them fresh until ctx is done. It
// is called once; before it runs and after it has ended, no key is learnt.
func (v *Verifier) Run(ctx context.Context) {
	var all sync.WaitGroup
	for _, r := range v.rings {
		all.Go(func() { r.keep(ctx) })
	}
	all.Wait()
	v.end.Do(func() {
		for _, r := range v.rings {
			close(r.over)
		}
	})
}

// Load fetches the keys of all tenants once, in place of [Verifier.Run]. What came of
// it is in Keys.
func (v *Verifier) Load(ctx context.Context) {
	for _, r := range v.rings {
		_ = r.fetch(ctx) // noted as the ring's problem
	}
}

// Ready reports whether the keys of all tenants have been fetched once.
func (v *Verifier) Ready() bool {
	for _, r := range v.rings {
		if r.set.Load() == nil {
			return false
		}
	}
	return true
}

// Keys is what is known of one tenant's keys.
type Keys struct {
	Tenant  string
	Held    int       // keys that are in use; 0 once they are too old
	Fetched time.Time // when those were asked for; zero: never
	Tried   time.Time // when keys were asked for last; zero: never
	Problem string    // why the last fetch failed; "" if it did not
}

// Keys returns what is known of the keys of each tenant, by tenant.
func (v *Verifier) Keys() []Keys {
	var all []Keys
	for _, tenant := range slices.Sorted(maps.Keys(v.rings)) {
		k := v.rings[tenant].summary()
		k.Tenant = tenant
		all = append(all, k)
	}
	return all
}

// Verify returns whom token speaks for. What is wrong with a token is an
// *[Invalid]; every other error, of which [ErrUnavailable] is the common one, means that
// it cannot be told at the moment. A token that names a key which is not known
// waits for the keys to be fetched, for seconds at most.
func (v *Verifier) Verify(ctx context.Context, token string) (*Caller, error) {
	if err := small(token); err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(token))
	if caller := v.valid.get(sum, v.now()); caller != nil {
		return caller, nil
	}
	t, err := v.rules.read(token, v.now())
	if err != nil {
		return nil, err
	}
	r := v.rings[t.caller.Tenant]
	key, err := r.key(ctx, t.kid)
	if err != nil {
		return nil, err
	}
	if err := t.verify(key); err != nil {
		return nil, err
	}
	t.caller.Fingerprint = fmt.Sprintf("%x", sum[:4])
	v.valid.put(sum, &entry{caller: t.caller, ring: r, kid: t.kid, key: key})
	return t.caller, nil
}

// Inspect returns whom token would speak for, or what is wrong with it, as far as
// that can be told without keys: anybody can write such a token. It is there to
// explain a token to who has it; nothing may be granted by it. Options.HTTP is not
// needed, and the Caller has no Fingerprint.
func Inspect(o Options, token string) (*Caller, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("inspecting a token: %w", err)
	}
	if err := small(token); err != nil {
		return nil, err
	}
	t, err := newRules(o).read(token, o.Now())
	if err != nil {
		return nil, err
	}
	return t.caller, nil
}

// small refuses what is too large to be looked at.
func small(token string) error {
	if len(token) > maxToken {
		return invalid(TooLarge, "the token is larger than 16 KiB")
	}
	return nil
}
