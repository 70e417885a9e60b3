package main

import (
	"os"
	"testing"
	"time"
)

func TestStatOfAProcessWithAnOddNameIsRead(t *testing.T) {
	t.Parallel()
	line := "4242 (a) b (c)) S 17 4242 4242 0 -1 4194560 100 200 0 0 11 12 13 14 20 0 5 0 123456 200000000 300 18446744073709551615 1 1\n"
	got, err := parseStat(line)
	want := stat{pid: 4242, parent: 17, children: 270 * time.Millisecond, resident: 300 * int64(os.Getpagesize())}
	if err != nil || got != want {
		t.Errorf("parseStat: %+v, %v; want %+v", got, err, want)
	}
	for _, bad := range []string{"", "4242", "4242 (x) S 17", "x (x) S 17 4242 4242 0 -1 4194560 100 200 0 0 11 12 13 14 20 0 5 0 123456 200000000 300"} {
		if _, err := parseStat(bad); err == nil {
			t.Errorf("parseStat(%q): no error", bad)
		}
	}
}

func TestDescendantsAreThoseBelow(t *testing.T) {
	t.Parallel()
	all := map[int]stat{1: {pid: 1}, 10: {pid: 10, parent: 1}, 11: {pid: 11, parent: 10}, 12: {pid: 12, parent: 11}, 20: {pid: 20, parent: 1}}
	for pid, want := range map[int]bool{1: false, 10: true, 11: true, 12: true, 20: false, 99: false} {
		if got := descends(all, pid, 10); got != want {
			t.Errorf("descends(%d, 10) = %v", pid, got)
		}
	}
}

// What a process is charged for grows with its work, its children's included.
func TestUsageGrowsWithWork(t *testing.T) {
	t.Parallel()
	before, err := usageOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if before.resident < 1<<20 {
		t.Errorf("%d bytes are resident", before.resident)
	}
	p, err := launch(t.TempDir(), nil, "/bin/sh", "-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done")
	if err != nil {
		t.Fatal(err)
	}
	<-p.done
	p.stop()
	used := p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
	after, err := usageOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if grown := after.cpu - before.cpu; grown < used-4*tick {
		t.Errorf("%v more, of which the child used %v", grown, used)
	}
	if _, err := usageOf(p.pid()); err == nil {
		t.Error("the usage of a process that has ended is known")
	}
}
