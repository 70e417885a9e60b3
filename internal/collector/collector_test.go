package collector

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if role := os.Getenv("COLLECTOR_ROLE"); role != "" {
		Tune()
		fmt.Println(roles[role]())
		return
	}
	goleak.VerifyTestMain(m)
}

func TestSmallHeapIsLeftAloneAndALargeOneGrowsByLessThanTwice(t *testing.T) {
	t.Parallel()
	const mb = 1 << 20
	for _, tt := range []struct{ used, least, most uint64 }{ // all in MB
		{0, 64, 66}, {1, 64, 66}, {8, 64, 66}, {50, 75, 77}, {200, 248, 250}, {4000, 4990, 5000},
	} {
		used := max(tt.used*mb, heapLeast)
		next := (used + used*uint64(percent(tt.used*mb))/100) / mb
		if next < tt.least || next > tt.most {
			t.Errorf("%d MB in use: the next collection at %d MB, want %d to %d", tt.used, next, tt.least, tt.most)
		}
	}
	for used := uint64(100 * mb); used < 1<<40; used *= 2 {
		if percent(used) > 100 {
			t.Errorf("%d bytes in use: %d %%, more than Go would let it grow", used, percent(used))
		}
	}
}

func TestLimitIsThatOfTheNarrowestControlGroup(t *testing.T) {
	t.Parallel()
	const group, of = "proc/self/cgroup", "sys/fs/cgroup/"
	for name, tt := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"no groups":        {nil, 0},
		"version 1":        {map[string]string{group: "4:memory:/a\n1:cpu:/\n", of + "a/memory.max": "1000"}, 0},
		"no limit":         {map[string]string{group: "0::/a/b\n", of + "a/b/memory.max": "max\n", of + "a/memory.max": "max\n"}, 0},
		"its own":          {map[string]string{group: "0::/a/b\n", of + "a/b/memory.max": "1000\n", of + "a/memory.max": "2000\n"}, 900},
		"of one around it": {map[string]string{group: "1:cpu:/x\n0::/a/b/c\n", of + "a/b/c/memory.max": "max\n", of + "a/memory.max": "1000\n"}, 900},
		"of a container":   {map[string]string{group: "0::/\n", of + "memory.max": "1000\n"}, 900},
		"outside of view":  {map[string]string{group: "0::/../../x\n"}, 0},
		"not a number":     {map[string]string{group: "0::/a\n", of + "a/memory.max": "-5\n"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := fstest.MapFS{}
			for file, text := range tt.files {
				files[file] = &fstest.MapFile{Data: []byte(text)}
			}
			if got := limitIn(files); got != tt.want {
				t.Errorf("%d, want %d", got, tt.want)
			}
		})
	}
}

// roles are what a process of its own does under the policy, since that is the
// process's. Each returns what it found.
var roles = map[string]func() any{"garbage": garbage, "growth": growth, "rest": rest, "limit": limit}

// in runs a role in a process of its own, with settings of the environment.
func in(t *testing.T, role string, environ ...string) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append([]string{"COLLECTOR_ROLE=" + role}, environ...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

var sink []byte

// garbage makes 512 MB of garbage and returns how often it was collected.
func garbage() any {
	for range 512 << 4 {
		sink = make([]byte, 64<<10)
	}
	return read("/gc/cycles/total:gc-cycles")
}

func TestGarbageOfASmallHeapIsCollectedSeldom(t *testing.T) {
	t.Parallel()
	var tuned, asSet uint64
	for range 10 { // a busy machine has the collector run late, and so less often
		fmt.Sscan(in(t, "garbage"), &tuned)
		fmt.Sscan(in(t, "garbage", "GOGC=100"), &asSet)
		if tuned >= 1 && tuned <= 13 && asSet >= 4*tuned { // 512 MB by some 60
			return
		}
	}
	t.Errorf("%d collections, and %d where the user has set GOGC=100", tuned, asSet)
}

// growth keeps 200 MB at once and returns how long the heap may grow then, in
// percent of that.
func growth() any {
	held := make([][]byte, 200)
	for i := range held {
		held[i] = make([]byte, 1<<20)
	}
	collections := read("/gc/cycles/total:gc-cycles")
	for read("/gc/heap/live:bytes") < 200<<20 || read("/gc/gogc:percent") > 100 {
		if sink = make([]byte, 64<<10); read("/gc/cycles/total:gc-cycles") > collections+100 {
			return "the pace stays as it was"
		}
	}
	runtime.KeepAlive(held)
	return 100 * read("/gc/heap/goal:bytes") / (200 << 20)
}

func TestHeapThatHasGrownDoesNotGetTheRoomOfASmallOne(t *testing.T) {
	t.Parallel()
	var found string
	for range 10 { // a busy machine has the collector run late
		found = in(t, "growth")
		var goal uint64
		if _, err := fmt.Sscan(found, &goal); err == nil && goal >= 115 && goal <= 160 {
			return
		}
	}
	t.Errorf("200 MB may grow to %q %%", found)
}

// rest is a process to which nothing has happened for a while. It returns its
// percentage, before and after the next collection.
func rest() any {
	before := read("/gc/gogc:percent")
	p := &pace{last: time.Now().Add(-2 * idle), percent: int(before)}
	p.adjust()
	return fmt.Sprint(before > 500, read("/gc/gogc:percent"))
}

func TestIdleProcessKeepsNoRoom(t *testing.T) {
	t.Parallel()
	if got := in(t, "rest"); got != "true 100" {
		t.Errorf("%s", got)
	}
}

// limit returns the limit of the process.
func limit() any { return debug.SetMemoryLimit(-1) }

func TestLimitOfTheUserStays(t *testing.T) {
	t.Parallel()
	if got := in(t, "limit", "GOMEMLIMIT=512MiB"); got != fmt.Sprint(512<<20) {
		t.Errorf("%s bytes", got)
	}
}

func read(name string) uint64 {
	s := []metrics.Sample{{Name: name}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
