package verify

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"
)

const (
	fetchLimit  = 10 * time.Second
	maxDocument = 1 << 20 // bytes

	refresh     = time.Hour
	retryAtOnce = time.Second
	retryAtMost = 30 * time.Second
)

// keep fetches the keys now, then from time to time and whenever one is asked
// for that is not known, until ctx is done.
//
// What the server's Cache-Control says is not followed: Entra's says a day, in
// which a withdrawn key would go on to count, and after which an outage would
// find keys that are a day old already.
func (r *ring) keep(ctx context.Context) {
	var pause time.Duration
	for r.await(ctx, jittered(pause)) {
		pause = r.next(r.fetch(ctx), pause)
	}
}

// next returns how long to pause after a fetch, when pause was the last one.
func (r *ring) next(err error, pause time.Duration) time.Duration {
	if err == nil {
		return refresh
	}
	if pause == 0 || pause == refresh {
		return retryAtOnce
	}
	return min(2*pause, retryAtMost)
}

// jittered returns d or up to a tenth less or more, so that replicas which were
// started together do not ask together.
func jittered(d time.Duration) time.Duration {
	return d + time.Duration((rand.Float64()-0.5)/5*float64(d)) // #nosec G404 -- spreads load
}

// await returns true when it is time to fetch: after pause, or as soon as the gap
// after the last fetch is over if one is asked for. While fetches fail, asking
// changes nothing: whoever makes ids up would otherwise have a server in trouble
// asked all the more.
func (r *ring) await(ctx context.Context, pause time.Duration) bool {
	due := time.NewTimer(pause)
	defer due.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-due.C:
			return ctx.Err() == nil
		case <-r.nudge:
			if at, ok := r.asked(); ok && !r.failing {
				due.Reset(max(0, time.Until(at)))
			}
		}
	}
}

// asked returns when to fetch next, and false if nobody waits for that.
func (r *ring) asked() (at time.Time, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.latest.Add(spacing(r.vain)), r.wanted > r.begun
}

// spacing is what is between a fetch and the next one that is asked for, after so
// many in a row that brought nothing new.
func spacing(vain int) time.Duration {
	if vain <= patience {
		return gap
	}
	return min(floodGap<<min(vain-patience-1, 10), floodMost)
}

// fetch fetches the keys and tells those who wait.
func (r *ring) fetch(ctx context.Context) error {
	r.mu.Lock()
	r.begun++
	if time.Since(r.latest) >= quiet {
		r.vain = 0
	}
	r.latest = time.Now()
	number := r.begun
	r.mu.Unlock()

	news, err := r.load(ctx)
	if ctx.Err() == nil {
		r.report(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended, r.failed = number, err
	switch {
	case news:
		r.vain = 0
	case err == nil:
		r.vain++
	}
	close(r.changed)
	r.changed = make(chan struct{})
	return err
}

// report logs the beginning and the end of an outage.
func (r *ring) report(err error) {
	switch {
	case err != nil && !r.failing:
		r.log.Warn("the tenant's signing keys cannot be fetched; known ones are used for 24 hours", "error", err)
	case err == nil && r.failing:
		r.log.Info("the tenant's signing keys can be fetched again")
	}
	r.failing = err != nil
}

// load puts the keys that are published now in the place of those before, and
// reports whether one of them is new.
func (r *ring) load(ctx context.Context) (news bool, err error) {
	asked := r.now().Round(0)
	data, err := r.document(ctx)
	if err != nil {
		return false, err
	}
	keys, err := readKeys(data, r.mine)
	if err != nil {
		return false, fmt.Errorf("%s: %w", r.url, err)
	}
	before := r.set.Load()
	if before == nil {
		before = &keySet{}
	}
	for kid, key := range keys {
		// The same key stays the same: tokens that it proved stay valid.
		if old := before.keys[kid]; key.equal(old) {
			keys[kid] = old
		} else {
			news = true
		}
	}
	r.set.Store(&keySet{keys: keys, fetched: asked})
	return news, nil
}

// document returns the body of the tenant's key set.
func (r *ring) document(ctx context.Context) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	response, err := r.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: status %d", r.url, response.StatusCode)
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, maxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.url, err)
	}
	if len(data) > maxDocument {
		return nil, fmt.Errorf("%s: larger than 1 MiB", r.url)
	}
	return data, nil
}
