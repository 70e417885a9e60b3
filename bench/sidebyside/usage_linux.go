package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A usage is what a process and its descendants have used.
type usage struct {
	cpu      time.Duration // user and system, since they began
	resident int64         // bytes, now; pages that processes share count for each
}

// usageOf sums over root and all that descend from it. The kernel's clock of a
// process counts nanoseconds, those of threads that have ended included; what
// children used that have ended is known in ticks of 10 ms.
func usageOf(root int) (usage, error) {
	var sum usage
	stats, err := processes()
	if err != nil {
		return sum, err
	}
	if _, ok := stats[root]; !ok {
		return sum, fmt.Errorf("process %d has ended", root)
	}
	for pid, s := range stats {
		if !descends(stats, pid, root) {
			continue
		}
		cpu, err := processClock(pid)
		if err != nil {
			continue // it ended meanwhile: its parent's ticks have it next time
		}
		sum.cpu += cpu + s.children
		sum.resident += s.resident
	}
	return sum, nil
}

// stat is what is read of a line of /proc/PID/stat.
type stat struct {
	pid, parent int
	children    time.Duration // used by those that have ended
	resident    int64
}

// processes returns the state of every process of the machine.
func processes() (map[int]stat, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	all := make(map[int]stat, len(files))
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // it ended meanwhile
		}
		s, err := parseStat(string(b))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		all[s.pid] = s
	}
	return all, nil
}

// tick is the unit of /proc/PID/stat, the same on every architecture.
const tick = 10 * time.Millisecond

// parseStat reads a line of proc_pid_stat(5). The second field is a name that
// may have spaces and parentheses in it.
func parseStat(line string) (s stat, err error) {
	open, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if open < 0 || end < open {
		return s, fmt.Errorf("no name in %q", line)
	}
	rest := strings.Fields(line[end+1:]) // field 3 is rest[0]
	if len(rest) < 22 {
		return s, fmt.Errorf("only %d fields in %q", len(rest)+2, line)
	}
	var n [5]int64
	for i, text := range []string{strings.TrimSpace(line[:open]), rest[1], rest[13], rest[14], rest[21]} {
		if n[i], err = strconv.ParseInt(text, 10, 64); err != nil {
			return s, err
		}
	}
	return stat{pid: int(n[0]), parent: int(n[1]), children: time.Duration(n[2]+n[3]) * tick, resident: n[4] * int64(os.Getpagesize())}, nil
}

// descends reports whether pid is root or below it.
func descends(all map[int]stat, pid, root int) bool {
	for pid > 1 {
		if pid == root {
			return true
		}
		pid = all[pid].parent
	}
	return false
}

// processClock returns the CPU time of another process, as clock_getcpuclockid(3)
// names its clock.
func processClock(pid int) (time.Duration, error) {
	const scheduled = 2 // CPUCLOCK_SCHED: what the scheduler counted
	var t unix.Timespec
	if err := unix.ClockGettime(^int32(pid)<<3|scheduled, &t); err != nil {
		return 0, err
	}
	return time.Duration(t.Nano()), nil
}
