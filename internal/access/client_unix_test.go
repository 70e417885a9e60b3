//go:build unix

package access

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestClientsTokenThatEverybodyCanReadIsRefused(t *testing.T) {
	t.Parallel()
	c := Client{"farm", filepath.Join(t.TempDir(), "farm")}
	if err := os.WriteFile(c.File, []byte(Generate().Reveal()), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, ok := range map[os.FileMode]bool{0o600: true, 0o440: true, 0o644: false, 0o602: false} {
		if err := os.Chmod(c.File, mode); err != nil {
			t.Fatal(err)
		}
		if err := c.Check(); ok != (err == nil) {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
}

func TestClientsTokenInAPipeIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	c := Client{"farm", filepath.Join(t.TempDir(), "farm")}
	if err := syscall.Mkfifo(c.File, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Check(); err == nil {
		t.Error("a pipe is taken for a file")
	}
}
