package main

import (
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// census is what this process has open. Tests that compare it are not parallel.
type census struct{ goroutines, descriptors int }

func takeCensus() census {
	c := census{goroutines: runtime.NumGoroutine()}
	open, _ := os.ReadDir("/proc/self/fd") // Linux has it; elsewhere goroutines are enough
	for _, entry := range open {
		// Pipes to splice by are kept until two collections of garbage are over.
		if to, err := os.Readlink("/proc/self/fd/" + entry.Name()); err == nil && !strings.HasPrefix(to, "pipe:") {
			c.descriptors++
		}
	}
	return c
}

// restored returns once no more is open than at c, but for what the runtime and
// its poller keep for themselves.
func (c census) restored(t testing.TB) {
	t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	late := time.After(guard)
	for {
		now := takeCensus()
		if now.goroutines <= c.goroutines+2 && now.descriptors <= c.descriptors+4 {
			return
		}
		select {
		case <-again.C:
		case <-late:
			stacks := make([]byte, 1<<20)
			t.Fatalf("%+v are left, of %+v at first:\n%s", now, c, stacks[:runtime.Stack(stacks, true)])
		}
	}
}
