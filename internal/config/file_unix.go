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
// the open file that info describes. A symbolic link counts for nothing, what
// it points to does.
func writableByOthers(file string, info fs.FileInfo) exposure {
	hint := fmt.Sprintf("chmod go-w %q, or take it over with chown", file)
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return exposure{fmt.Sprintf("can be written by others (mode %04o)", mode), hint}
	}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok && sys.Uid != 0 && int(sys.Uid) != os.Geteuid() {
		return exposure{fmt.Sprintf("belongs to another user (uid %d)", sys.Uid), hint}
	}
	target, err := filepath.EvalSymlinks(file)
	if err != nil {
		return exposure{"cannot be traced to a directory", "put the file itself there, and no link to it"}
	}
	dir := filepath.Dir(target)
	dirInfo, err := os.Stat(dir)
	if err != nil {
		return exposure{"cannot be traced to a directory", "put the file itself there, and no link to it"}
	}
	if dirInfo.Mode().Perm()&0o002 != 0 && dirInfo.Mode()&fs.ModeSticky == 0 {
		return exposure{"lies in a directory that everybody can write", fmt.Sprintf("chmod o-w %q", dir)}
	}
	return exposure{}
}
