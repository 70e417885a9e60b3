//go:build unix

package ca

import (
	"os"
	"path/filepath"
	"syscall"
)

// inherit gives what root has made at path to the owner of the directory that
// it lies in: root rotates the CA of a service that runs as somebody else, who
// has to go on reading it.
func inherit(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return err
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok && s.Uid != 0 {
		return os.Lchown(path, int(s.Uid), int(s.Gid))
	}
	return nil
}
