//go:build unix

package access

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// secret returns an error if everybody may use the file. Its owner and group
// are those whom a secret is mounted for, which need not be ours.
func secret(info fs.FileInfo) error {
	if perm := info.Mode().Perm(); perm&0o007 != 0 {
		return fmt.Errorf("everybody may use it (mode %04o, want 0640 or 0600)", perm)
	}
	return nil
}

// private returns an error unless the file is this user's (or root's) alone.
func private(info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return errors.New("not a regular file")
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return fmt.Errorf("others may use it (mode %04o, want 0600)", perm)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int64(st.Uid) != int64(os.Geteuid()) {
		return fmt.Errorf("it belongs to another user (uid %d)", st.Uid)
	}
	return nil
}
