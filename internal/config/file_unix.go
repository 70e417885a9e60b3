//go:build unix

package config

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// open does not wait for the writer of a named pipe, should file be one.
func open(file string) (*os.File, error) {
	return os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

// writableByOthers says how users other than this one and root could change
// the open file that info describes, "" if they cannot. A symbolic link counts
// for nothing, what it points to does.
func writableByOthers(file string, info fs.FileInfo) string {
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return fmt.Sprintf("can be written by others (mode %04o)", mode)
	}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok && sys.Uid != 0 && int(sys.Uid) != os.Geteuid() {
		return fmt.Sprintf("belongs to another user (uid %d)", sys.Uid)
	}
	target, err := filepath.EvalSymlinks(file)
	if err != nil {
		return "cannot be traced to a directory"
	}
	dir, err := os.Stat(filepath.Dir(target))
	if err != nil {
		return "cannot be traced to a directory"
	}
	if dir.Mode().Perm()&0o002 != 0 && dir.Mode()&fs.ModeSticky == 0 {
		return "lies in a directory that everybody can write"
	}
	return ""
}

func exposedHint(file string) string {
	return fmt.Sprintf("chmod go-w %q, or take it over with chown", file)
}
