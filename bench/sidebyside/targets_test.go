package main

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func TestTargetIsMetByWhatKeepsToAllItsBounds(t *testing.T) {
	t.Parallel()
	found := map[string]series{injectproxy: of(cpuPerOp, 50, 50, 50), goproxy: of(cpuPerOp, 50, 50, 50), squid: of(cpuPerOp, 80, 80, 80)}
	for _, tt := range []struct {
		bounds []bound
		want   string
	}{
		{nil, "-"},
		{[]bound{{cpuPerOp, .70, squid}, {cpuPerOp, 1, goproxy}}, "met"},
		{[]bound{{cpuPerOp, .70, squid}, {cpuPerOp, .99, goproxy}}, "missed"},
		{[]bound{{cpuPerOp, 50, ""}}, "met"},
		{[]bound{{cpuPerOp, 49, ""}}, "missed"},
		{[]bound{{cpuPerOp, 1, goproxy}, {cpuPerOp, 1.4, tunnel}}, "met, as far as measured"},
		{[]bound{{cpuPerOp, .5, goproxy}, {cpuPerOp, 1.4, tunnel}}, "missed"},
		{[]bound{{cpuPerOp, 1.4, tunnel}}, "not measured"},
	} {
		if got := outcome(judgeAll(tt.bounds, found)); got != tt.want {
			t.Errorf("%v: %s, want %s", tt.bounds, got, tt.want)
		}
	}
}

func TestEveryTargetIsOfAWorkThatIsMeasured(t *testing.T) {
	t.Parallel()
	for _, target := range targets() {
		i := slices.IndexFunc(works(), func(w work) bool { return w.name == target.work })
		if i < 0 {
			t.Errorf("no work is called %q", target.work)
			continue
		}
		w := works()[i]
		for _, b := range slices.Concat(target.want, target.moonshot) {
			if !slices.Contains(columns[w.kind], b.unit) {
				t.Errorf("%s has no column for %s", w.name, b.unit)
			}
			for _, p := range peers() {
				if p.name == b.of && p.abstains(w) != "" {
					t.Errorf("%s is compared with %s, which %s", w.name, p.name, p.abstains(w))
				}
			}
		}
		if _, ok := goBenchmarks[w.name]; ok != (w.kind == gobench) {
			t.Errorf("%s: a Go benchmark is named: %v", w.name, ok)
		}
	}
}

// The published results say something of every target, if only that it was not
// measured.
func TestResultsNameEveryTarget(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../RESULTS.md")
	if err != nil {
		t.Fatal(err)
	}
	between, _, _ := strings.Cut(string(b), endMark)
	for _, target := range targets() {
		if !strings.Contains(between, "\n| "+target.row+" | "+target.work+" | ") {
			t.Errorf("RESULTS.md has no row for %q, %s: measure it again with -md", target.row, target.work)
		}
	}
}
