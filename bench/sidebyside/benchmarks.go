package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// goBenchmarks are the Go benchmarks that a target is set for, by work.
var goBenchmarks = map[string]string{
	"match":    "^BenchmarkMatch$/^rules=10000$/^path=ordinary$",
	"refusals": "^BenchmarkRefusals$/^requests=1000$",
}

// benchmarks is the contest of a Go benchmark with nobody.
type benchmarks struct{ program, pattern string }

func newBenchmarks(ctx context.Context, r *rig, w work) (*benchmarks, error) {
	b := &benchmarks{program: filepath.Join(r.dir, "bench.test"), pattern: goBenchmarks[w.name]}
	out, err := exec.CommandContext(ctx, "go", "test", "-c", "-o", b.program, module+"/bench").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("building the Go benchmarks: %w\n%s", err, out)
	}
	return b, nil
}

func (b *benchmarks) names() []string { return []string{injectproxy} }

func (b *benchmarks) measure(ctx context.Context, _ string, _ int) result {
	out, err := exec.CommandContext(ctx, b.program, "-test.run", "^$", "-test.bench", b.pattern, "-test.benchmem").CombinedOutput()
	if err != nil {
		return result{err: fmt.Errorf("%w: %s", err, out)}
	}
	for line := range strings.Lines(string(out)) {
		if r, ok := parseBenchmark(line); ok {
			return r
		}
	}
	return result{err: fmt.Errorf("no benchmark is called %s", b.pattern)}
}

func (b *benchmarks) close() {}

// parseBenchmark reads a line of the Go benchmark format: a name, how often, and
// pairs of a figure and its unit.
func parseBenchmark(line string) (result, bool) {
	f := strings.Fields(line)
	if len(f) < 4 || len(f)%2 != 0 || !strings.HasPrefix(f[0], "Benchmark") {
		return result{}, false
	}
	n, err := strconv.ParseInt(f[1], 10, 64)
	if err != nil {
		return result{}, false
	}
	r := result{n: n, figures: map[string]float64{}}
	for i := 2; i < len(f); i += 2 {
		if r.figures[f[i+1]], err = strconv.ParseFloat(f[i], 64); err != nil {
			return result{}, false
		}
	}
	return r, true
}
