package main

import (
	"cmp"
	"maps"
	"slices"

	"github.com/injectproxy/injectproxy/internal/telemetry"
)

// traffic is what there is to show of requests and tunnels.
type traffic struct {
	InFlight int         `json:"in_flight"`
	Streams  int         `json:"streams"` // of those in flight, event streams and upgraded connections
	Tunnels  tunnelTally `json:"tunnels"`
	Sessions int         `json:"sessions"` // of MCP, all there are
}

// traffic counts all but sessions.
func (l *live) traffic() traffic {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := traffic{InFlight: len(l.flying), Tunnels: l.tunnels}
	for _, q := range l.flying {
		if q.Stream {
			t.Streams++
		}
	}
	return t
}

// requests returns those in flight, but not more than are shown, and those that
// have ended lately, each with the latest first.
func (l *live) requests() (flying, ended []liveRequest) {
	l.mu.Lock()
	flying = make([]liveRequest, 0, len(l.flying))
	for _, q := range l.flying {
		flying = append(flying, *q)
	}
	ended = append([]liveRequest{}, l.ended[l.next:]...)
	ended = append(ended, l.ended[:l.next]...)
	l.mu.Unlock()
	slices.SortFunc(flying, func(a, b liveRequest) int { return cmp.Compare(b.ID, a.ID) })
	slices.Reverse(ended)
	return flying[:min(len(flying), mostShown)], ended
}

// sessionEvents returns what happened to sessions lately, the latest first, and
// how often what has happened.
func (l *live) sessionEvents() (latest []liveSession, counts map[string]int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	latest = append([]liveSession{}, l.sessions...)
	slices.Reverse(latest)
	counts = map[string]int64{}
	maps.Copy(counts, l.happened)
	return latest, counts
}

// plots are of requests, by rule and time.
func (o *observer) plots() telemetry.Plots { return o.history.Snapshot() }
