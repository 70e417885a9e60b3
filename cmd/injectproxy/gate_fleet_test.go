//go:build unix

package main

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// sessions begins n sessions at addr, every other one over HTTP/1.1.
func (f *fleet) sessions(addr string, n int) (all []*visitor) {
	f.t.Helper()
	for i := range n {
		v := f.visit(addr, i%2 == 1)
		v.events = make(chan int, 10_000)
		must(f.t, v.begin())
		must(f.t, v.next())
		all = append(all, v)
	}
	return all
}

// refused fails the test unless a call of v is answered with that status.
func (v *visitor) refused(status int) {
	v.f.t.Helper()
	var answer errStatus
	call := v.known
	if status == http.StatusServiceUnavailable {
		call = v.call
	}
	if _, n, err := call(); !errors.As(err, &answer) || answer.status != status {
		v.f.t.Errorf("a call came to number %d, %v; want status %d", n, err, status)
	}
}

func TestSessionBegunOnOneGateContinuesOnTheOther(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	one, two := f.gate(), f.gate()
	servers := map[string]bool{}
	for _, v := range f.sessions(one.addr, 6) {
		there, another := v.at(two.addr, ""), v.at(two.addr, f.other())
		must(t, there.next())
		before := f.reached.Load()
		if another.refused(http.StatusNotFound); f.reached.Load() != before {
			t.Error("a server has heard of another user's attempt")
		}
		v.calls = there.calls
		must(t, v.next()) // on the first
		servers[v.server] = true
	}
	if len(servers) != 2 {
		t.Errorf("sessions are at %v", servers)
	}
}

// TestGateThatIsKilledLosesNoSession holds under load. A call that is under way may
// fail, as its connection does, and is made again.
func TestGateThatIsKilledLosesNoSession(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	gates := []*daemon{f.gate(), f.gate()}
	all := f.sessions(f.balance(gates[0].addr, gates[1].addr).addr, 8)
	begun := f.begun.Load()
	var running, before sync.WaitGroup
	killed := make(chan struct{})
	for _, v := range all {
		before.Add(1)
		busy := *v
		busy.sent = 1_000_000 // ids of its own
		running.Go(func() {
			for range 5 {
				v.persist()
			}
			before.Done()
			<-killed
			for range 5 {
				v.persist()
			}
		})
		running.Go(func() { // one more, that is under way meanwhile
			for {
				select {
				case <-killed:
					return
				default:
					_, _, _ = busy.call()
				}
			}
		})
	}
	before.Wait()
	gates[0].signal(syscall.SIGKILL)
	<-gates[0].exited
	close(killed)
	running.Wait()
	if now := f.begun.Load(); now != begun {
		t.Errorf("%d sessions were begun anew", now-begun)
	}
}

// persist calls until there is an answer, which has to be one of the session.
func (v *visitor) persist() {
	for {
		server, n, err := v.known()
		var answer errStatus
		switch {
		case errors.As(err, &answer):
			v.f.t.Errorf("a call was answered with %v", err)
			return
		case err != nil && v.f.t.Context().Err() == nil:
			v.pause()
			continue
		}
		if n <= v.calls || server != v.server {
			v.f.t.Errorf("behind call %d at %s came %d at %s", v.calls, v.server, n, server)
		}
		v.calls = n
		return
	}
}

func TestRedisThatIsKilledStopsSessionsAlone(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	d := f.gate()
	mine := f.sessions(d.addr, 1)[0]
	foreign := mine.at(d.addr, f.other())
	free := f.visit(d.addr, false)
	free.path = "/free"
	must(t, free.once())

	f.store.kill()
	before := f.reached.Load()
	for range 3 {
		mine.refused(http.StatusServiceUnavailable)
		foreign.refused(http.StatusServiceUnavailable)
		must(t, free.once())
		call(t, f.client(d.addr), "GET", gateURL+"/readyz", nil).wantStatus(t, http.StatusOK)
	}
	if f.reached.Load() != before {
		t.Error("a server has heard of a session that nobody could look up")
	}

	f.store.run()
	must(t, mine.next()) // once it is back
	foreign.refused(http.StatusNotFound)
	must(t, mine.next())
	must(t, f.visit(d.addr, false).begin())
}

// once makes a call of a server without sessions.
func (v *visitor) once() error {
	_, _, err := v.call()
	return err
}

// TestRollingRestartOfBothGatesFailsNoCall restarts gates of this process, which end
// as the program does. Their grace lasts until clients have made use of it, however
// long that takes on a busy machine.
func TestRollingRestartOfBothGatesFailsNoCall(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	restartUnderLoad(f, 6, 1, 100*time.Millisecond, func() member {
		h := f.hold(0)
		return member{h.addr, func(used func()) {
			h.retire()
			used()
			h.signals <- syscall.SIGTERM
			must(t, h.end(t))
			h.log.wait(t, "msg=stopped", "cut_off=false")
			if line := lineWith(h.log.String(), "cannot be looked up in Redis", "closed"); line != "" {
				t.Error("it left Redis before its clients had left: " + line)
			}
		}}
	})
}

// TestManyRollingRestartsFailNoCall is the same with the real program, again and
// again. What takes its time are the ends of the gates, not the calls.
func TestManyRollingRestartsFailNoCall(t *testing.T) {
	thorough(t)
	t.Parallel()
	f := newFleet(t)
	restartUnderLoad(f, 12, 2, 150*time.Millisecond, func() member {
		d := f.gate()
		return member{d.addr, func(func()) {
			d.signal(syscall.SIGTERM)
			if status := d.stopped(); status != 0 || lineWith(d.log.String(), "msg=stopped", "cut_off=false") == "" {
				t.Errorf("a gate ended with %d:\n%s", status, d.log)
			}
		}}
	})
}

// member is a gate of a fleet, and what ends it. It may call used, which returns once
// clients know that a gate which is not ready any more is about to end: the balancer
// sends nobody there, and each connection that was open has had its last answer.
type member struct {
	addr string
	end  func(used func())
}

// restartUnderLoad restarts both of two gates so many times, one after the other,
// while so many sessions make calls, each as often as that, and hold their streams.
func restartUnderLoad(f *fleet, sessions, times int, every time.Duration, start func() member) {
	t := f.t
	gates := []member{start(), start()}
	b := f.balance(gates[0].addr, gates[1].addr)
	all := f.sessions(b.addr, sessions)
	begun := f.begun.Load()
	ctx, leave := context.WithCancel(t.Context())
	done := make(chan struct{})
	var calling, holding sync.WaitGroup
	rounds := make([]atomic.Int64, len(all)) // calls of each
	used := func() {
		b.settle()
		for i := range rounds {
			want := rounds[i].Load() + 6 // more than a visitor has connections
			soon(t, "a visitor does not call", func() bool { return rounds[i].Load() >= want || t.Failed() })
		}
	}
	for i, v := range all {
		opened := make(chan struct{}, 10_000)
		holding.Go(func() {
			own := *v
			if err := own.hold(ctx, opened); err != nil {
				t.Error(err)
			}
		})
		<-opened
		must(t, v.next())
		calling.Go(func() { v.callUntil(done, every, &rounds[i]) })
	}
	for range times {
		for i, old := range gates {
			gates[i] = start()
			b.add(gates[i].addr)
			old.end(used)
		}
	}
	close(done)
	calling.Wait()
	total := 0
	for _, v := range all {
		total += v.calls
		v.heardAll()
	}
	leave()
	holding.Wait()
	if now := f.begun.Load(); now != begun {
		t.Errorf("%d sessions were begun anew", now-begun)
	}
	t.Logf("%d calls in %d sessions", total, sessions)
}

// callUntil makes calls until done is closed, and counts them.
func (v *visitor) callUntil(done <-chan struct{}, every time.Duration, made *atomic.Int64) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			if err := v.next(); err != nil {
				v.f.t.Errorf("behind call %d: %v", v.calls, err)
				return
			}
			made.Add(1)
		}
	}
}

// heardAll waits for the events of all calls, each once and in their order.
func (v *visitor) heardAll() {
	v.f.t.Helper()
	late := time.After(guard)
	for want := 1; want <= v.calls; want++ {
		select {
		case got := <-v.events:
			if got != want {
				v.f.t.Fatalf("event %d came in place of %d", got, want)
			}
		case <-late:
			v.f.t.Fatalf("event %d of %d does not come", want, v.calls)
		}
	}
}
