package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// aReport is of one work that was measured, and one that went wrong.
func aReport() report {
	bad := of(cpuPerOp, 1)
	bad[0].err = errors.New("3 failed,\none of them with: EOF")
	return report{
		machine: machine{os: "linux", arch: "amd64", cpu: "a processor", kernel: "Linux 6", toolchain: "go1.26", cores: 2},
		date:    time.Date(2026, 11, 21, 22, 0, 0, 0, time.UTC), command: "go run ./bench/sidebyside -rounds 1", bound: "1 rounds",
		peers: [][2]string{{"goproxy", "v1"}},
		works: []work{{name: "keepalive", about: "small answers", kind: requests}},
		all:   map[string]map[string]series{"keepalive": {injectproxy: of(cpuPerOp, 40e3), goproxy: of(cpuPerOp, 50e3), squid: bad}},
	}
}

func TestReportTellsWhatItTakesToRunItAgain(t *testing.T) {
	t.Parallel()
	text := aReport().markdown()
	for _, want := range []string{
		"- machine: a processor, 2 cores, Linux 6, linux/amd64\n", "- toolchain: go1.26\n", "- date: 2026-11-21 22:00 UTC\n",
		"- command: `go run ./bench/sidebyside -rounds 1`\n", "- goproxy (v1)\n",
		"| keep-alive, 32 clients, CPU per request | keepalive | ≤ 0.70 × squid, ≤ 1.00 × goproxy | not measured, 0.80 × goproxy | met, as far as measured |",
		"| new connection, CPU | newconn |", // not measured, and told so
		"| keepalive | CPU |\n|---|---|\n| squid | errors |\n| goproxy | 50.0 µs |\n| injectproxy | 40.0 µs |\n",
		"squid: no result: 3 failed, one of them with: EOF\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

func TestWhatPeopleWroteAroundAReportStays(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "RESULTS.md")
	before, after := "# Results\n\n", "\n\n## Misses\n\nthe reasons\n"
	if err := os.WriteFile(file, []byte(before+beginMark+"\nan earlier report\n"+endMark+after), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := aReport().into(file); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if want := before + beginMark + "\n\n" + aReport().markdown() + "\n" + endMark + after; string(b) != want {
			t.Fatalf("the file is\n%s\nwant\n%s", b, want)
		}
	}
}

func TestPageWithoutMarksIsLeftAlone(t *testing.T) {
	t.Parallel()
	for _, page := range []string{"# Results\n", beginMark + "\n", endMark + "\n" + beginMark + "\n"} {
		file := filepath.Join(t.TempDir(), "RESULTS.md")
		if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := aReport().into(file); err == nil {
			t.Errorf("%q: no error", page)
		}
		if b, err := os.ReadFile(file); err != nil || string(b) != page {
			t.Errorf("%q has become %q, %v", page, b, err)
		}
	}
}

func TestFiguresAreWrittenAsBenchstatReadsThem(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	rep := aReport()
	if err := writeBenchmarks(&out, rep.machine, rep.works, rep.all); err != nil {
		t.Fatal(err)
	}
	want := "goos: linux\ngoarch: amd64\npkg: github.com/injectproxy/injectproxy/bench/sidebyside\ncpu: a processor\n" +
		"BenchmarkSideBySide/work=keepalive/peer=goproxy\t1\t50000 cpu-ns/op\n" +
		"BenchmarkSideBySide/work=keepalive/peer=injectproxy\t1\t40000 cpu-ns/op\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	for line := range strings.Lines(want + "BenchmarkCut\t1\t50000 ns/op\t3\n") {
		if r, ok := parseBenchmark(line); ok != strings.HasPrefix(line, "BenchmarkSide") || ok && (r.n != 1 || len(r.figures) != 1) {
			t.Errorf("%q is read as %+v, %v", line, r, ok)
		}
	}
}
