package retry

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/injectproxy/injectproxy/internal/token"
)

// A rule whose fresh token is refused rests this long, then twice as long, up
// to the most. More often, an upstream that refuses everything would have the
// identity service asked at the rate of its requests.
const (
	firstRest = 30 * time.Second
	mostRest  = 10 * time.Minute
)

// rule knows how one route's upstream has received the audience's tokens since
// it last accepted one: at most one of them is replaced, and the one that came
// in its place, if it is refused too, begins a rest. It goes by the tokens and
// not by who sends them, so that a request that picks the fresh token up from
// the cache counts as much as the one that had it made.
type rule struct {
	now      func() time.Time
	troubled atomic.Bool // there is something below to forget; read without the lock

	mu       sync.Mutex
	rejected token.Token   // the one that is being, or was, replaced
	until    time.Time     // end of the rest; zero if none has begun since rejected was set
	rest     time.Duration // length of the last rest
}

// refused takes note of a first refusal of t, and reports whether the audience
// may be asked for another, or until when it may not.
func (r *rule) refused(t token.Token) (until time.Time, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.troubled.Store(true)
	switch {
	case !r.until.IsZero():
		if r.now().Before(r.until) {
			return r.until, false
		}
		r.rejected, r.until = t, time.Time{}
	case r.rejected.IsZero():
		r.rejected = t
	case !r.rejected.Equal(t):
		r.begin()
		return r.until, false
	}
	return time.Time{}, true
}

// refusedAgain takes note of the refusal of t, which had come in place of
// another.
func (r *rule) refusedAgain(t token.Token) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.troubled.Store(true)
	// Of many that were sent with t, the first begins the rest; one that comes
	// after the rest finds that t itself is being replaced.
	if r.until.IsZero() && !r.rejected.Equal(t) {
		r.begin()
	}
}

// accepted forgets all troubles.
func (r *rule) accepted() {
	if !r.troubled.Load() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rejected, r.until, r.rest = token.Token{}, time.Time{}, 0
	r.troubled.Store(false)
}

func (r *rule) begin() {
	r.rest = min(max(2*r.rest, firstRest), mostRest)
	r.until = r.now().Add(r.rest)
}
