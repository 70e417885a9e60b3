package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tinyRun holds every work of args for a moment and returns what was found.
func tinyRun(t *testing.T, args ...string) map[string]map[string]series {
	t.Helper()
	o, err := parse(append([]string{"-rounds", "1", "-d", "50ms"}, args...))
	if err != nil {
		t.Fatal(err)
	}
	for i, w := range o.works {
		o.works[i].clients, o.works[i].hosts, o.works[i].events = min(w.clients, 4), min(w.hosts, 8), min(w.events, 2)
		o.works[i].size = min(w.size, 1<<20)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	r, err := newRig(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	if err := r.prepare(ctx); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	all, err := r.holdAll(ctx, &out)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(out.String())
	return all
}

// sound fails the test unless each contender has each figure that is wanted.
func sound(t *testing.T, all map[string]map[string]series, work string, names []string, units ...string) {
	t.Helper()
	for _, name := range names {
		s := all[work][name]
		if err := s.err(); err != nil {
			t.Errorf("%s, %s: %v", work, name, err)
		}
		for _, unit := range units {
			if v, ok := s.median(unit); !ok || v <= 0 {
				t.Errorf("%s, %s: %s is %v, %v", work, name, unit, v, ok)
			}
		}
	}
}

func TestRivalIsMeasured(t *testing.T) {
	t.Parallel()
	all := tinyRun(t, "-peers", "direct,goproxy", "-work", "keepalive,sse-h2")
	sound(t, all, "keepalive", []string{goproxy}, cpuPerOp, lagMedian, lag99, opsPerSec, peakMemory)
	sound(t, all, "sse-h2", []string{goproxy}, cpuPerOp, lagMedian, lag99)
	sound(t, all, "keepalive", []string{direct}, lagMedian)
	if v, ok := all["keepalive"][direct].median(cpuPerOp); ok {
		t.Errorf("no proxy uses %v ns", v)
	}
}

// Each kind of work with everybody who is installed, and the program as it is
// built for it.
func TestEachKindOfWorkIsMeasuredWithThePeersThatAreInstalled(t *testing.T) {
	t.Parallel()
	if os.Getenv("INJECTPROXY_REQUIRE_ALL") == "" {
		t.Skip("it builds the program: .ci/run has it, or INJECTPROXY_REQUIRE_ALL=1")
	}
	all := tinyRun(t, "-work", "keepalive1,keepalive-h2,newhost,upload-chunked,sse,idle,exec,match")
	for _, w := range works() {
		if all[w.name] == nil {
			continue
		}
		var names []string
		for name := range all[w.name] {
			names = append(names, name)
		}
		sound(t, all, w.name, names)
		sound(t, all, w.name, []string{injectproxy}, columns[w.kind][0])
	}
}

func TestProfilesAreWritten(t *testing.T) {
	t.Parallel()
	if os.Getenv("INJECTPROXY_REQUIRE_ALL") == "" {
		t.Skip("it builds the program: .ci/run has it, or INJECTPROXY_REQUIRE_ALL=1")
	}
	dir := t.TempDir()
	tinyRun(t, "-profile", dir, "-work", "keepalive")
	for _, name := range []string{"keepalive.cpu.pprof", "keepalive.mem.pprof"} {
		out, err := exec.Command("go", "tool", "pprof", "-top", filepath.Join(dir, name)).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "flat%") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// A proxy that adds no token is not measured as if it was fast.
func TestRefusalsOfTheUpstreamAreNoResult(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	o, err := parse([]string{"-rounds", "1", "-d", "50ms"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRig(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	for _, w := range []work{
		{name: "requests", kind: requests, path: "/small", clients: 1},
		{name: "flow", kind: flow, path: "/events", clients: 2, events: 1},
		{name: "idle", kind: idle, path: "/events", clients: 2},
	} {
		m := measurement{rig: r, work: w, peer: peer{name: "tokenless"}, route: route{ca: r.file(upstreamCA)}, length: 50 * time.Millisecond}
		if got := m.measure(ctx); got.err == nil || !strings.Contains(got.err.Error(), "401") {
			t.Errorf("%s: %v, want the 401", w.name, got.err)
		}
	}
}

func TestWhatCannotBeAskedForIsRefused(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"-work typo", "-peers nginx", "-rounds 0", "-d -1s", "keepalive"} {
		if _, err := parse(strings.Fields(args)); err == nil {
			t.Errorf("%s: no error", args)
		}
	}
	r := rig{options: options{works: []work{{name: "idle", clients: 2000}}}, files: 1024}
	if err := r.prepare(t.Context()); err == nil || !strings.Contains(err.Error(), "idle needs 4200 open files") {
		t.Errorf("too few open files: %v", err)
	}
}
