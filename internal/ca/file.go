package ca

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// hasModes says whether permission bits mean what they say. On Windows the
// user's configuration directory is closed to others by its access list.
const hasModes = runtime.GOOS != "windows"

// checkDir refuses a directory where somebody else could put another CA in the
// place of this one. Others may list it: somebody may want to share ca.pem.
func checkDir(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("ca: %w", err)
	}
	return checkMode(dir, info.Mode(), 0o022, "700")
}

// readSecret reads the file with the key, and refuses one that somebody else
// can read.
func readSecret(dir string) ([]byte, error) {
	path := filepath.Join(dir, secretFile)
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, &Error{Path: path, Reason: "is not a regular file", Hint: "remove it, then: " + replaceHint}
	}
	if err := checkMode(path, info.Mode(), 0o077, "600"); err != nil {
		return nil, err
	}
	return io.ReadAll(f)
}

func checkMode(path string, mode, refused fs.FileMode, want string) error {
	if !hasModes || mode.Perm()&refused == 0 {
		return nil
	}
	return &Error{
		Path:   path,
		Reason: fmt.Sprintf("is open to other users (mode %#o)", mode.Perm()),
		Hint: fmt.Sprintf("chmod %s %s; if somebody may have read or changed it, %s",
			want, path, replaceHint),
	}
}

// writeFile puts data at path so that a reader, or a crash, finds the file
// whole or not at all.
func writeFile(path string, data []byte, perm fs.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), tempPattern(filepath.Base(path)))
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Chmod(perm); err != nil {
		return err
	}
	if err := inherit(f.Name()); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	syncDir(filepath.Dir(path))
	return nil
}

func tempPattern(name string) string { return "." + name + ".*.tmp" }

// syncDir makes a rename outlast a power cut where the system can. Where it
// cannot, the file is in its place all the same, so that is no failure.
func syncDir(dir string) {
	d, err := os.Open(dir)
	if err != nil {
		return
	}
	defer d.Close()
	_ = d.Sync()
}
