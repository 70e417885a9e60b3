//go:build unix

package ca

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A service's CA is rotated by root, and goes on being the service's.
func TestRootThatRotatesLeavesTheCAToItsOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("INJECTPROXY_REQUIRE_ALL") != "" {
			t.Fatal("not root")
		}
		t.Skip("only root can give files away")
	}
	const owner = 65534
	dir := filepath.Join(t.TempDir(), "ca")
	permit, err := ParsePermit([]string{"a.example"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Ensure(dir, permit, nil); err != nil {
		t.Fatal(err)
	}
	if err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, owner, owner)
	}); err != nil {
		t.Fatal(err)
	}
	wider, err := ParsePermit([]string{"a.example", "b.example"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Rotate(dir, wider, time.Now); err != nil {
		t.Fatal(err)
	}
	owned := func(when string) {
		if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			if s := info.Sys().(*syscall.Stat_t); s.Uid != owner {
				t.Errorf("%s: %s belongs to %d", when, path, s.Uid)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
	owned("after rotate")
	if _, err := Finish(dir, time.Now); err != nil {
		t.Fatal(err)
	}
	owned("after finish")
}
