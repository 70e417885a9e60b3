package verify

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// gap is what is at least between two fetches, however many key ids are
	// asked for: within a second a rotated key is known. Once more fetches than
	// patience in a row have brought nothing new, ids are being made up: the gap
	// grows from floodGap to floodMost, and so does the time within which a key
	// counts that is rotated during such a flood. It is short again after a fetch
	// that brought a key, and after the time of quiet without any fetch.
	gap       = 750 * time.Millisecond
	patience  = 10
	floodGap  = time.Second
	floodMost = 30 * time.Second
	quiet     = time.Minute // longer than floodMost

	maxStale   = 24 * time.Hour  // keys are used for so long after they were fetched last
	maxWait    = 5 * time.Second // for a key that is not known
	maxWaiting = 4000            // tokens; more than the forged ones that one rotation has to stand
	maxMissing = 1000            // ids that are remembered as not published
	missingFor = 5 * time.Second // at most
)

// keySet is what a tenant published at one time. It never changes.
type keySet struct {
	keys    map[string]*publicKey
	fetched time.Time // when they were asked for
}

// ring is the keys of one tenant. keep fetches them, everybody else reads. An id
// that was not published is remembered by itself: it holds no other back.
type ring struct {
	url     string
	mine    func(issuer string) bool
	client  *http.Client
	now     func() time.Time
	log     *slog.Logger
	set     atomic.Pointer[keySet] // nil until fetched once
	nudge   chan struct{}          // that wanted has grown
	over    chan struct{}          // closed once nobody fetches any more
	failing bool                   // whether the last fetch failed; keep's own

	mu      sync.Mutex
	begun   int       // fetches
	latest  time.Time // when the last one began
	vain    int       // fetches in a row that worked, and brought nothing new
	wanted  int       // number of the fetch that is waited for: at most one more than begun
	ended   int       // number of the last fetch that has ended
	failed  error
	changed chan struct{} // closed when a fetch ends
	waiting int
	missing map[string]bool // ids that a fetch did not bring
	noted   time.Time       // since when they are noted in missing
}

func newRing(o Options, tenant string, own issuers) *ring {
	client := &http.Client{
		Transport:     o.HTTP.Transport,
		Timeout:       fetchLimit,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &ring{
		// What the tenant's OpenID configuration says (jwks_uri). A second
		// document to fetch, and to be led elsewhere by, would bring nothing.
		url:  o.Authority + "/" + tenant + "/discovery/v2.0/keys",
		mine: func(issuer string) bool { return own.published(issuer, tenant) },

		client: client, now: o.Now, log: o.Log.With("tenant", tenant),
		nudge: make(chan struct{}, 1), over: make(chan struct{}),
		changed: make(chan struct{}), missing: make(map[string]bool),
	}
}

// known returns the key with that id, or nil.
func (r *ring) known(kid string) *publicKey { return r.keys()[kid] }

// keys returns the keys that are in use: none before the first fetch, and none
// that are too old.
func (r *ring) keys() map[string]*publicKey {
	set := r.set.Load()
	// By the wall clock: while a machine sleeps, the other one stands still.
	if set == nil || r.now().Round(0).Sub(set.fetched) > maxStale {
		return nil
	}
	return set.keys
}

// summary returns what is known of the keys.
func (r *ring) summary() Keys {
	k := Keys{Held: len(r.keys())}
	if set := r.set.Load(); set != nil {
		k.Fetched = set.fetched
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	k.Tried = r.latest
	if r.failed != nil {
		k.Problem = r.failed.Error()
	}
	return k
}

// key returns the key with that id. One that is not known is waited for, by all
// together, until a fetch has ended that began after it was asked for.
func (r *ring) key(ctx context.Context, kid string) (*publicKey, error) {
	if key := r.known(kid); key != nil {
		return key, nil
	}
	need, err := r.join(kid)
	if err != nil {
		return nil, err
	}
	defer r.leave()
	limit := time.NewTimer(maxWait)
	defer limit.Stop()
	for {
		changed := r.state(need)
		if changed == nil {
			return r.fetched(kid)
		}
		if key := r.known(kid); key != nil {
			return key, nil // of a fetch that had begun before
		}
		select {
		case <-changed:
		case <-limit.C:
			return nil, ErrUnavailable
		case <-r.over:
			return nil, ErrUnavailable
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for the tenant's signing keys: %w", ctx.Err())
		}
	}
}

// join asks for a fetch and returns its number, or why there will be none.
func (r *ring) join(kid string) (need int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.missing[kid] && time.Since(r.noted) < missingFor {
		return 0, notPublished()
	}
	if r.waiting >= maxWaiting {
		return 0, ErrUnavailable
	}
	r.waiting++
	r.wanted = r.begun + 1
	select {
	case r.nudge <- struct{}{}:
	default: // keep is about to look
	}
	return r.wanted, nil
}

func (r *ring) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting--
}

// state returns what tells the end of the next fetch, and nil once that one has
// ended.
func (r *ring) state(number int) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended >= number {
		return nil
	}
	return r.changed
}

// fetched returns the key with that id after the fetch that was waited for.
func (r *ring) fetched(kid string) (*publicKey, error) {
	if key := r.known(kid); key != nil {
		return key, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed != nil {
		return nil, ErrUnavailable
	}
	if len(r.missing) >= maxMissing || time.Since(r.noted) >= missingFor {
		clear(r.missing)
		r.noted = time.Now()
	}
	r.missing[kid] = true
	return nil, notPublished()
}

func notPublished() *Invalid {
	return invalid(Key, "the tenant does not publish the key that the token names")
}
