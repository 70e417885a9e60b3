// Package collector says when the garbage collector runs. A proxy has little in
// use and makes much garbage, which by Go's own rule, to collect when the heap
// has doubled, has it collect every few hundred requests. Here a small heap is left alone, and
// a large one grows by less than Go would let it.
//
// It refuses to overrule the user: where GOGC is set it leaves the pace alone,
// and where GOMEMLIMIT is set, the limit.
package collector

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	small = 64 << 20 // bytes of a heap that is left alone
	share = 4        // what is in use may grow by one such part besides

	// heapLeast is the heap that Go takes for the least: it collects no smaller
	// one, whatever the percentage.
	heapLeast = 4 << 20

	// idle is how late a collection is for nothing to have happened meanwhile.
	// Without work Go collects every two minutes.
	idle = 100 * time.Second
)

// Tune sets the pace and the limit for this process, until it ends. It has
// effect once: it is for main, before memory is used.
func Tune() {
	if os.Getenv("GOMEMLIMIT") == "" {
		if limit := memoryLimit(); limit > 0 {
			debug.SetMemoryLimit(limit)
		}
	}
	if os.Getenv("GOGC") == "" {
		p := &pace{last: time.Now()}
		p.set(percent(0))
		p.wait()
	}
}

// pace is adjusted after each collection, by one goroutine of the runtime's at a
// time.
type pace struct {
	last    time.Time // of the last collection
	percent int
}

// wait has adjust called after the next collection.
func (p *pace) wait() {
	type mark struct{ _ [64]byte } // too large to share an allocation, which might last
	runtime.AddCleanup(new(mark), (*pace).adjust, p)
}

func (p *pace) adjust() {
	now := time.Now()
	if now.Sub(p.last) > idle {
		p.set(100) // as Go has it: what was garbage is given back to the system
	} else {
		p.set(percent(inUse()))
	}
	p.last = now
	p.wait()
}

// set sets the percentage. A small change is not worth stopping the world for.
func (p *pace) set(percent int) {
	if d := percent - p.percent; p.percent == 0 || d*d*100 > p.percent*p.percent {
		p.percent = percent
		debug.SetGCPercent(percent)
	}
}

// percent returns by how much the heap may grow before the next collection, in
// percent of used, the bytes that the last one found in use: see
// [debug.SetGCPercent].
func percent(used uint64) int {
	used = max(used, heapLeast)
	goal := max(used, small) + used/share
	return int(100 * (goal - used) / used)
}

// inUse returns what the collector goes by: what it found live in the heap, and
// the stacks and globals that it looked through.
func inUse() (bytes uint64) {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}
	metrics.Read(samples)
	for _, s := range samples {
		if s.Value.Kind() == metrics.KindUint64 { // one that is gone in a later Go counts for nothing
			bytes += s.Value.Uint64()
		}
	}
	return bytes
}
