package main

import (
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
	t := traffic{}
	t.InFlight, t.Streams = l.inFlight()
	l.mu.Lock()
	defer l.mu.Unlock()
	t.Tunnels = l.tunnels
	return t
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
