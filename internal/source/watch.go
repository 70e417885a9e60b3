package source

import (
	"os"
	"slices"
	"time"
)

// stamp is what tells two states of a file apart. The zero stamp is that of a
// file that is not there.
type stamp struct {
	size    int64
	changed time.Time
}

// watch returns what reports whether one of the files at paths has been
// written, made or removed since.
func watch(paths []string) func() bool {
	before := stamps(paths)
	return func() bool { return !slices.EqualFunc(before, stamps(paths), stamp.equal) }
}

func (s stamp) equal(other stamp) bool { return s.size == other.size && s.changed.Equal(other.changed) }

func stamps(paths []string) []stamp {
	all := make([]stamp, len(paths))
	for i, path := range paths {
		if info, err := os.Stat(path); err == nil {
			all[i] = stamp{info.Size(), info.ModTime()}
		}
	}
	return all
}
