package admin

import (
	"fmt"
	"sync"
	"testing"
)

func TestSlowWatcherLosesTheOldestAndNobodyWaits(t *testing.T) {
	t.Parallel()
	var f Feed
	slow, quick := f.watch(), f.watch()
	var seen []string
	for i := range 3 * maxWaiting {
		f.Publish("n", i)
		messages, lost := f.take(quick)
		for _, m := range messages {
			seen = append(seen, string(m.data))
		}
		if lost {
			t.Fatal("who is quick has lost something")
		}
	}
	if len(seen) != 3*maxWaiting || seen[0] != "0" {
		t.Errorf("%d messages", len(seen))
	}
	messages, lost := f.take(slow)
	if !lost || len(messages) == 0 || len(messages) > maxWaiting || string(messages[len(messages)-1].data) != fmt.Sprint(3*maxWaiting-1) {
		t.Errorf("lost %v, %d messages", lost, len(messages))
	}
	f.Publish("n", "more")
	if messages, lost = f.take(slow); lost || len(messages) != 1 {
		t.Errorf("then: lost %v, %d messages", lost, len(messages))
	}
}

func TestWatchersAreBounded(t *testing.T) {
	t.Parallel()
	var f Feed
	var all []*watcher
	for range maxWatchers {
		all = append(all, f.watch())
	}
	if f.watch() != nil {
		t.Error("one too many")
	}
	f.leave(all[3])
	if f.watch() == nil || !f.Watched() {
		t.Error("one who leaves makes no room")
	}
}

func TestFeedThatNobodyWatchesCostsNothing(t *testing.T) {
	var f Feed
	w := f.watch()
	f.leave(w)
	v := any(map[string]string{"a": "b"})
	if n := testing.AllocsPerRun(100, func() { f.Publish("x", v) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if messages, _ := f.take(w); len(messages) > 0 {
		t.Error("who has left is sent something")
	}
}

func TestFeedIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	var f Feed
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 200 {
				f.Publish("x", 1)
			}
		})
		all.Go(func() {
			for range 50 {
				if w := f.watch(); w != nil {
					f.take(w)
					f.leave(w)
				}
			}
		})
	}
	all.Wait()
	if f.Watched() {
		t.Error("somebody is left")
	}
}
