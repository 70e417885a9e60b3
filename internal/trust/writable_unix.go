//go:build unix

package trust

import (
	"errors"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// writable reports whether this user may change path, or make it.
func (m *Machine) writable(path string) bool {
	for {
		err := unix.Access(m.root+path, unix.W_OK)
		if !errors.Is(err, fs.ErrNotExist) || path == filepath.Dir(path) {
			return err == nil
		}
		path = filepath.Dir(path)
	}
}
