package e2e_test

import (
	"context"
	"errors"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
)

// What a soak does where nobody says how long it should last.
const (
	warmUp     = 3 // rounds until everything that is kept for good is there
	soakRounds = 6
)

// What the program may have more of at the end than after the warm-up. A
// goroutine or a descriptor that is lost with each request, session, token,
// restart or change of the configuration is more than that in the shortest run; an object
// of 1 KiB that is lost with each request is in a run of minutes.
const (
	moreGoroutines  = 4
	moreDescriptors = 4
	moreHeap        = 3 << 19
)

// TestNothingGrowsUnderMixedTraffic: sessions, calls, streams and tunnels come
// and go, servers restart, tokens end and change, the configuration changes,
// clients leave in the middle. Whenever all of them have gone, the program has
// as much memory, as many goroutines and as many descriptors as at first.
// INJECTPROXY_SOAK says how long this goes on ("1h"); without it the rounds are
// few.
func TestNothingGrowsUnderMixedTraffic(t *testing.T) {
	t.Parallel()
	k := newSoak(t)
	for range warmUp {
		k.round()
	}
	first := k.settled(nil)
	t.Logf("after %d rounds: %v", k.rounds, first)
	for goesOn := soakTime(t); goesOn(k.rounds - warmUp); {
		k.round()
		if k.rounds%100 == 0 {
			t.Logf("after %d rounds: %v", k.rounds, k.settled(nil))
		}
	}
	last := k.settled(&first)
	t.Logf("after %d rounds: %v", k.rounds, last)
	if err := last.exceeds(first); err != nil {
		t.Error(err)
		k.p.process.Signal(syscall.SIGQUIT) // whose goroutines are in the log then
	}
}

// soakTime returns what says whether another round is to follow the given
// number of them.
func soakTime(t *testing.T) (goesOn func(rounds int) bool) {
	t.Helper()
	wish := os.Getenv("INJECTPROXY_SOAK")
	if wish == "" {
		return func(rounds int) bool { return rounds < soakRounds }
	}
	d, err := time.ParseDuration(wish)
	if err != nil {
		t.Fatalf("INJECTPROXY_SOAK: %v", err)
	}
	end := time.Now().Add(d)
	if limit, ok := t.Deadline(); ok && limit.Before(end.Add(guardTime)) {
		t.Fatalf("the test may not run for %v: give go test a -timeout above that", d)
	}
	return func(int) bool { return time.Now().Before(end) }
}

// round is one of everything, in an order: what is open while the servers
// restart has to be there, and be good, afterwards. At its end nothing is left.
func (k *soak) round() {
	k.t.Helper()
	k.rounds++
	ctx, leave := context.WithTimeout(k.t.Context(), guardTime)
	defer leave()
	c := k.clients()
	visitors := []visitor{&plainCalls{}, &generations{}, &eventStream{}, &tunnelled{}, &strangers{}}
	const sessions = 4
	for range sessions {
		visitors = append(visitors, &mcpSession{})
	}
	k.all(visitors, func(v visitor) error { return v.begin(ctx, c) })
	k.until("a stream of each session", func(v vitals) bool { return v.held == sessions })
	k.upset()
	k.all(visitors, func(v visitor) error { return v.goOn(ctx, c) })
	k.reconfigure()
	k.all(visitors, func(v visitor) error { return v.end(ctx, c) })
	c.close()
}

// visitor is somebody who uses the proxy before and after an upset.
type visitor interface {
	begin(context.Context, *soakClients) error
	goOn(context.Context, *soakClients) error
	end(context.Context, *soakClients) error
}

// all has all visitors do something at once.
func (k *soak) all(visitors []visitor, do func(visitor) error) {
	k.t.Helper()
	errs := make([]error, len(visitors))
	var all sync.WaitGroup
	for i, v := range visitors {
		all.Go(func() { errs[i] = do(v) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		k.t.Fatalf("round %d: %v", k.rounds, err)
	}
}
