package session

import (
	"sync"
	"time"
)

// mostRests is how many targets can be in their cool-down at once. Rules bound
// them in the first place; the path is the client's.
const mostRests = 4096

// rests knows which targets are not to be asked for another session, and until
// when. The zero value is ready; it is safe for concurrent use.
type rests struct {
	mu    sync.Mutex
	until map[string]time.Time
}

// begin begins the rest of a target.
func (r *rests) begin(target string, d time.Duration) {
	if d <= 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if len(r.until) >= mostRests {
		for t, until := range r.until {
			if !now.Before(until) {
				delete(r.until, t)
			}
		}
		if len(r.until) >= mostRests {
			return
		}
	}
	if r.until == nil {
		r.until = map[string]time.Time{}
	}
	r.until[target] = now.Add(d)
}

// resting reports whether a target has its rest.
func (r *rests) resting(target string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	until, ok := r.until[target]
	if ok && !time.Now().Before(until) {
		delete(r.until, target)
		return false
	}
	return ok
}
