package gate

import "time"

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
