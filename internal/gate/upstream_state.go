package gate

import (
	"log/slog"
	"sync"
	"time"
)

// troublePause is how often the log hears that an upstream fails. Whoever can send
// requests could have it say so with each of them.
const troublePause = 10 * time.Second

// trouble tells the log how an upstream does. The zero trouble has no log, and
// tells nobody.
type trouble struct {
	log *slog.Logger

	mu   sync.Mutex
	last time.Time // when it warned
	open bool      // it has warned, and not said that all is well since
}

// warn tells of err, unless it has just told of another.
func (t *trouble) warn(what string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := time.Now(); t.log != nil && now.Sub(t.last) >= troublePause {
		t.last, t.open = now, true
		t.log.Warn(what, "error", loggable(err))
	}
}

// over tells that what it has warned of is over.
func (t *trouble) over() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open {
		t.open = false
		t.log.Info("an MCP server can be reached again")
	}
}

// unreachable notes that no connection could be made to u, of which err says why.
func (u *upstream) unreachable(err error) {
	now := time.Now().UnixNano()
	u.away.CompareAndSwap(0, now)
	u.failed.Store(now)
	u.trouble.warn("an MCP server cannot be reached", err)
}

// reached notes that u has answered.
func (u *upstream) reached() {
	if u.failed.Load() != 0 && u.failed.Swap(0) != 0 {
		u.away.Store(0)
		u.trouble.over()
	}
}

// UpstreamState is how an upstream of a route does.
type UpstreamState struct {
	Route    string    // its path
	Host     string    // host:port of the upstream
	Failed   time.Time // when it could not be reached; zero: the last time, it could
	InFlight int       // requests, streams and upgraded connections
}

// Upstreams returns the state of all upstreams, in the order of the routes that
// are looked at first.
func (g *Gate) Upstreams() (all []UpstreamState) {
	for _, r := range g.routes {
		for _, u := range r.upstreams {
			s := UpstreamState{Route: r.Path, Host: u.url.Host, InFlight: int(u.inFlight.Load())}
			if failed := u.failed.Load(); failed != 0 {
				s.Failed = time.Unix(0, failed)
			}
			all = append(all, s)
		}
	}
	return all
}
