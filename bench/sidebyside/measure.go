package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// A measurement is one work asked of one route.
type measurement struct {
	*rig
	work   work
	peer   peer
	route  route
	round  int
	roots  *x509.CertPool
	length time.Duration
}

// hang is how much longer than it should a measurement may take.
const hang = 2 * time.Minute

// measure asks the work of the route and returns what it took.
func (m measurement) measure(ctx context.Context) result {
	ctx, cancel := context.WithTimeout(ctx, m.length+hang)
	defer cancel()
	var err error
	if m.roots, err = readRoots(m.route.ca); err != nil {
		return result{err: err}
	}
	clients := m.newClients()
	defer func() {
		for _, c := range clients {
			c.CloseIdleConnections()
		}
	}()
	var r result
	switch m.work.kind {
	case flow:
		r = m.flow(ctx, clients)
	case idle:
		r = m.idle(ctx, clients)
	default:
		r = m.requests(ctx, clients)
	}
	if ctx.Err() != nil {
		r.err = errors.Join(r.err, fmt.Errorf("it was not over in time: %w", ctx.Err()))
	}
	return r
}

func (m measurement) newClients() []*http.Client {
	clients := make([]*http.Client, max(1, m.work.connections()))
	for i := range clients {
		clients[i] = newClient(m.route, m.roots, m.work)
	}
	return clients
}

// url returns where the n-th request goes.
func (m measurement) url(n int) string {
	host := m.upstream
	if m.work.hosts > 0 {
		host = hostOf(m.upstream, m.round*m.work.hosts+n)
	}
	u := "https://" + host + m.work.path
	switch m.work.kind {
	case transfer:
		u += "?n=" + strconv.FormatInt(m.work.size, 10)
	case flow, idle:
		u += fmt.Sprintf("?n=%d&every=%s", m.work.events, every)
	}
	return u
}

// usage is that of the proxy, nothing if there is none: no figure comes of it.
func (m measurement) usage() (usage, error) {
	if m.route.process == nil {
		return usage{}, nil
	}
	return usageOf(m.route.process.pid())
}

// requests measures requests and transfers. The connections of those that keep
// them are there before it begins.
func (m measurement) requests(ctx context.Context, clients []*http.Client) result {
	l := &load{work: m.work, clients: clients, url: m.url, bearer: m.peer.bearer}
	if err := l.open(ctx); err != nil {
		return result{err: err}
	}
	before, err := m.usage()
	if err != nil {
		return result{err: err}
	}
	watched := m.watch(ctx)
	began := time.Now()
	t := l.run(ctx, m.length)
	took := time.Since(began)
	after, err := m.usage()
	r := result{n: t.ops, figures: map[string]float64{}, err: errors.Join(err, t.err())}
	peak := watched()
	if t.ops == 0 {
		r.err = errors.Join(r.err, errors.New("nothing was answered"))
		return r
	}
	r.figures[opsPerSec] = float64(t.ops) / took.Seconds()
	r.figures[lagMedian] = nanoseconds(t.percentile(.5))
	r.figures[lag99] = nanoseconds(t.percentile(.99))
	if m.work.kind == transfer {
		r.figures[bytesPerSec] = float64(t.bytes) / 1e6 / took.Seconds()
	}
	if m.route.process == nil {
		return r
	}
	r.figures[peakMemory] = float64(peak)
	cpu := nanoseconds(after.cpu - before.cpu)
	if m.work.kind == transfer {
		r.figures[cpuPerGB] = cpu / (float64(t.bytes) / 1e9)
	} else {
		r.figures[cpuPerOp] = cpu / float64(t.ops)
	}
	return r
}

// flow measures streams of events: from before the first is opened until the
// last has ended, and while all of them are open.
func (m measurement) flow(ctx context.Context, clients []*http.Client) result {
	s := &streams{work: m.work, clients: clients, url: m.url(0), bearer: m.peer.bearer}
	before, err := m.usage()
	if err != nil {
		return result{err: err}
	}
	watched := m.watch(ctx)
	s.open(ctx)
	opened, seen := m.usageAfter(s)
	<-s.ended
	flowed, seenThen := m.usageAfter(s)
	t := s.wait()
	after, err := m.usage()
	r := result{n: t.ops, figures: map[string]float64{}, err: errors.Join(err, t.err())}
	peak := watched()
	if t.ops == 0 || seenThen <= seen {
		r.err = errors.Join(r.err, errors.New("the first streams ended before all were open"))
		return r
	}
	r.figures[lagMedian] = nanoseconds(t.percentile(.5))
	r.figures[lag99] = nanoseconds(t.percentile(.99))
	if m.route.process == nil {
		return r
	}
	r.figures[peakMemory] = float64(peak)
	r.figures[cpuPerOp] = nanoseconds(after.cpu-before.cpu) / float64(t.ops)
	r.figures[cpuFlowing] = nanoseconds(flowed.cpu-opened.cpu) / float64(seenThen-seen)
	return r
}

// usageAfter is the usage when so many events have been read. A proxy that has
// ended is told of by the usage that follows.
func (m measurement) usageAfter(s *streams) (usage, int64) {
	u, _ := m.usage()
	return u, s.events.Load()
}

// idle measures the memory of streams that say nothing, in a process that has
// only just begun: what earlier work has made the heap grow to is no part of it.
func (m measurement) idle(ctx context.Context, clients []*http.Client) result {
	before, err := m.usage()
	if err != nil {
		return result{err: err}
	}
	s := &streams{work: m.work, clients: clients, url: m.url(0), bearer: m.peer.bearer}
	watched := m.watch(ctx)
	s.open(ctx)
	select {
	case <-time.After(m.length):
	case <-s.ended:
	case <-ctx.Done():
	}
	resting, err := m.usage()
	peak := watched()
	s.mu.Lock()
	failure := s.tally.err()
	s.mu.Unlock()
	s.close()
	n := float64(m.work.clients)
	return result{n: int64(m.work.clients), err: errors.Join(err, failure), figures: map[string]float64{
		peakMemory: float64(peak),
		perStream:  float64(peak-before.resident) / n,
		perResting: float64(resting.resident-before.resident) / n,
	}}
}

// watch looks at the proxy's memory until the function that it returns is
// called, which returns the most that was seen.
func (m measurement) watch(ctx context.Context) (peak func() int64) {
	ctx, cancel := context.WithCancel(ctx)
	var most int64
	var group sync.WaitGroup
	look := func() {
		if u, err := m.usage(); err == nil {
			most = max(most, u.resident)
		}
	}
	group.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				look()
			}
		}
	})
	return func() int64 {
		cancel()
		group.Wait()
		look()
		return most
	}
}

// err is not nil if anything failed.
func (t *tally) err() error {
	if t.failed == 0 {
		return nil
	}
	return fmt.Errorf("%d failed, one of them with: %w", t.failed, t.failure)
}
