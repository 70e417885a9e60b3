package e2e_test

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// vitals are what a running serve says of itself.
type vitals struct {
	goroutines, descriptors, heap, resident int
	busy                                    int // requests, streams, tunnels and sessions that have not ended
	held                                    int // streams of sessions
	reloads                                 int
}

func (v vitals) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors, %d KiB of heap, %d KiB resident", v.goroutines, v.descriptors, v.heap>>10, v.resident>>10)
}

// exceeds tells what of v is more than it was at first, and may be.
func (v vitals) exceeds(first vitals) error {
	var errs []error
	for _, c := range []struct {
		what              string
		now, before, more int
	}{
		{"goroutines", v.goroutines, first.goroutines, moreGoroutines},
		{"descriptors", v.descriptors, first.descriptors, moreDescriptors},
		{"bytes of heap", v.heap, first.heap, moreHeap},
	} {
		if c.now > c.before+c.more {
			errs = append(errs, fmt.Errorf("%d %s, after %d at first", c.now, c.what, c.before))
		}
	}
	return errors.Join(errs...)
}

// metric adds a line of /metrics to v.
func (v *vitals) metric(name string, value int) {
	for _, m := range []struct {
		name string
		to   *int
	}{
		{"go_goroutines", &v.goroutines},
		{"process_open_fds", &v.descriptors},
		{"go_memstats_heap_alloc_bytes", &v.heap},
		{"process_resident_memory_bytes", &v.resident},
		{"injectproxy_requests_in_flight", &v.busy},
		{"injectproxy_streams_open", &v.busy},
		{"injectproxy_tunnels_open", &v.busy},
		{"injectproxy_sessions_live", &v.busy},
		{"injectproxy_session_streams_held", &v.held},
		{"injectproxy_config_reloads_total", &v.reloads},
	} {
		if name == m.name {
			*m.to += value
		}
	}
}

// vitals asks serve how it is.
func (k *soak) vitals() (v vitals) {
	k.t.Helper()
	res, err := k.scraper.Get("http://" + k.status + "/metrics")
	if err != nil {
		k.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		k.t.Fatalf("/metrics: %s", res.Status)
	}
	for in := bufio.NewScanner(res.Body); in.Scan(); {
		name, value, _ := strings.Cut(in.Text(), " ")
		name, _, _ = strings.Cut(name, "{")
		if _, after, found := strings.Cut(value, "} "); found {
			value = after
		}
		if f, err := strconv.ParseFloat(value, 64); err == nil {
			v.metric(name, int(f))
		}
	}
	return v
}

// until waits for what serve says to be as wanted.
func (k *soak) until(what string, wanted func(vitals) bool) {
	k.t.Helper()
	guard := time.After(guardTime)
	for v := k.vitals(); !wanted(v); v = k.vitals() {
		select {
		case <-guard:
			k.t.Fatalf("round %d: there was not %s: %+v", k.rounds, what, v)
		default:
		}
	}
}

// settled returns the vitals once nobody uses the proxy, with the least of each
// in a number of looks: what the collector has left of the heap, and goroutines
// that are not just about to end. While they are above what bound permits it goes
// on looking: a connection that ended under a stream is let go of 90 s later
// (net/http sets its idle timer again).
func (k *soak) settled(bound *vitals) vitals {
	k.t.Helper()
	k.quiet()
	guard, again := time.After(3*guardTime), time.NewTicker(50*time.Millisecond)
	defer again.Stop()
	var least vitals
	for looks := 0; ; {
		v := k.vitals()
		switch {
		case v.busy > 0:
		case looks == 0:
			least, looks = v, 1
		default:
			least.goroutines, least.descriptors = min(least.goroutines, v.goroutines), min(least.descriptors, v.descriptors)
			least.heap, least.resident = min(least.heap, v.heap), v.resident
			looks++
		}
		if looks >= 30 && (bound == nil || least.exceeds(*bound) == nil) {
			return least
		}
		select {
		case <-guard:
			if looks == 0 {
				k.t.Fatalf("somebody still uses the proxy: %+v", v)
			}
			return least
		case <-again.C:
		}
	}
}
