package main

import (
	"context"
	"errors"
	"slices"
)

// A contest is one work and those that take part in it.
type contest interface {
	names() []string
	// measure has one of them do the work once.
	measure(ctx context.Context, name string, round int) result
	close()
}

// newContest starts who takes part in w.
func (r *rig) newContest(ctx context.Context, w work) (contest, error) {
	switch w.kind {
	case run:
		return newCommands(ctx, r)
	case gobench:
		return newBenchmarks(ctx, r, w)
	}
	return newTraffic(ctx, r, w)
}

// hold holds the contest: in each round all take their turn, and each round
// begins with another, so that none is always the one after the slowest.
func (r *rig) hold(ctx context.Context, w work, told func(round int)) (map[string]series, error) {
	c, err := r.newContest(ctx, w)
	if err != nil {
		return nil, err
	}
	defer c.close()
	found := map[string]series{}
	for round := range r.rounds {
		told(round)
		names := c.names()
		for i := range names {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			name := names[(i+round)%len(names)]
			found[name] = append(found[name], c.measure(ctx, name, round))
		}
	}
	found[injectproxy].subtract(found["true"], timeToRun, timeAdded)
	for name, s := range found {
		if w.clients == 1 && name != direct { // many clients wait for each other, not for the proxy
			s.subtract(found[direct], lagMedian, lagAdded)
		}
	}
	return found, nil
}

// traffic is a contest of peers that requests go through. They are started for
// the work, so that none has anything of another one in its memory.
type traffic struct {
	rig    *rig
	work   work
	peers  []peer
	routes map[string]route
}

func newTraffic(ctx context.Context, r *rig, w work) (*traffic, error) {
	t := &traffic{rig: r, work: w, routes: map[string]route{}}
	for _, p := range r.peers() {
		if reason := p.abstains(w); reason != "" {
			continue
		}
		t.peers = append(t.peers, p)
		if w.kind == idle {
			continue // it begins anew each time
		}
		if err := t.start(ctx, p); err != nil {
			t.close()
			return nil, err
		}
	}
	if len(t.peers) == 0 {
		return nil, errors.New("nobody takes part")
	}
	return t, nil
}

// abstains says why a peer takes no part in a work, or nothing if it does.
func (p peer) abstains(w work) string {
	switch {
	case w.h2 && p.h1:
		return "speaks no HTTP/2 to clients"
	case w.hosts > 0 && p.named:
		return "mints no certificate for an address"
	case w.kind == idle && p.name == direct:
		return "has no memory"
	}
	return ""
}

func (t *traffic) names() (list []string) {
	for _, p := range t.peers {
		list = append(list, p.name)
	}
	return list
}

func (t *traffic) start(ctx context.Context, p peer) (err error) {
	t.routes[p.name], err = p.start(ctx, t.rig, t.work)
	return err
}

func (t *traffic) measure(ctx context.Context, name string, round int) result {
	p := t.peers[slices.IndexFunc(t.peers, func(p peer) bool { return p.name == name })]
	if t.work.kind == idle {
		if err := t.start(ctx, p); err != nil {
			return result{err: err}
		}
		defer func() { t.routes[name].stop() }()
	}
	m := measurement{rig: t.rig, work: t.work, peer: p, route: t.routes[name], round: round, length: t.rig.length}
	return m.measure(ctx)
}

func (t *traffic) close() {
	if t.work.kind == idle {
		return // each was stopped after its turn
	}
	for _, r := range t.routes {
		r.stop()
	}
}
