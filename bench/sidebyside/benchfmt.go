package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// writeBenchmarks writes what was found in the Go benchmark format, one line for
// each round, so that benchstat can compare two runs, or two peers of one run
// (-col /peer). What had errors is left out.
func writeBenchmarks(out io.Writer, about machine, list []work, all map[string]map[string]series) error {
	fmt.Fprintf(out, "goos: %s\ngoarch: %s\npkg: %s/bench/sidebyside\ncpu: %s\n", about.os, about.arch, module, about.cpu)
	for _, w := range list {
		for _, name := range order {
			for _, r := range all[w.name][name] {
				if r.err != nil {
					continue
				}
				if _, err := fmt.Fprintln(out, benchmarkLine(w.name, name, r)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func benchmarkLine(work, name string, r result) string {
	var line strings.Builder
	fmt.Fprintf(&line, "BenchmarkSideBySide/work=%s/peer=%s\t%d", work, name, r.n)
	for _, unit := range slices.Sorted(maps.Keys(r.figures)) {
		fmt.Fprintf(&line, "\t%.6g %s", r.figures[unit], unit)
	}
	return line.String()
}
