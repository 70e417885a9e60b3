package collector

import (
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
)

// limitIn returns nine tenths of the least limit of memory that the control
// groups (cgroup v2, as containers and systemd units have it) set for this
// process, 0 if there is none. The rest is for what the runtime does not count.
// Files are the system's, from its root.
func limitIn(files fs.FS) (bytes int64) {
	b, err := fs.ReadFile(files, "proc/self/cgroup")
	if err != nil {
		return 0
	}
	var group string
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "0::/"); ok {
			group = rest
		}
	}
	least := int64(math.MaxInt64)
	for {
		least = min(least, limitOf(files, path.Join("sys/fs/cgroup", group, "memory.max")))
		if group == "" || group == "." {
			break
		}
		group = path.Dir(group)
	}
	if least == math.MaxInt64 {
		return 0
	}
	return least / 10 * 9
}

// limitOf reads one limit. What cannot be read, or is "max", limits nothing.
func limitOf(files fs.FS, name string) int64 {
	b, err := fs.ReadFile(files, name)
	if err != nil {
		return math.MaxInt64
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil || n <= 0 {
		return math.MaxInt64
	}
	return n
}
