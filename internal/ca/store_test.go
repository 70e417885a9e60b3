package ca

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// made returns the directory of a new CA and the CA.
func made(t *testing.T) (string, *Authority) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "ca")
	a, err := Ensure(dir, permit(t, "corp.example"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return dir, a
}

func TestOpenReturnsTheCAThatEnsureMade(t *testing.T) {
	t.Parallel()
	dir, a := made(t)
	b, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Ensure(dir, permit(t, "other.example"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range []*Authority{b, c} {
		if got.Fingerprint() != a.Fingerprint() || got.Permit().String() != "corp.example" {
			t.Errorf("%s for %s, want %s for corp.example", got.Fingerprint(), got.Permit(), a.Fingerprint())
		}
		leaf, err := got.Leaf("corp.example")
		if err != nil {
			t.Fatal(err)
		}
		if err := verify(a, leaf, "corp.example"); err != nil {
			t.Error(err)
		}
	}
	published, err := os.ReadFile(a.RootFile())
	if err != nil || string(published) != string(a.RootPEM()) {
		t.Errorf("ca.pem is not the root: %v", err)
	}
}

func TestLeafKeyDiffersAfterReopening(t *testing.T) {
	t.Parallel()
	dir, a := made(t)
	b, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if a.leafKey.Equal(b.leafKey) {
		t.Error("two openings share a leaf key")
	}
}

func TestFilesAreClosedToOthers(t *testing.T) {
	t.Parallel()
	if !hasModes {
		t.Skip("this system has no permission bits")
	}
	dir, _ := made(t)
	want := map[string]fs.FileMode{".": 0o700, secretFile: 0o600, rootFile: 0o644, lockFile: 0o600}
	for name, mode := range want {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != mode {
			t.Errorf("%s has mode %#o, want %#o", name, got, mode)
		}
	}
	if got := len(snapshot(t, dir)); got != len(want)-1 {
		t.Errorf("%d files, want %d", got, len(want)-1)
	}
}

func TestKeysOfRootAndLeavesAreNowhereOnDisk(t *testing.T) {
	t.Parallel()
	dir, a := made(t)
	if _, err := a.Leaf("corp.example"); err != nil {
		t.Fatal(err)
	}
	if n := keysOnDisk(t, dir, a.intermediate.PublicKey); n != 1 {
		t.Fatalf("the search finds %d keys of the intermediate, want 1", n)
	}
	if n := keysOnDisk(t, dir, a.root.PublicKey); n != 0 {
		t.Error("the root's key is on disk")
	}
	if n := keysOnDisk(t, dir, a.leafKey.Public()); n != 0 {
		t.Error("the leaves' key is on disk")
	}
}

// keysOnDisk counts the private keys of pub in all files below dir.
func keysOnDisk(t *testing.T, dir string, pub any) int {
	t.Helper()
	found := 0
	for _, data := range snapshot(t, dir) {
		for block, rest := pem.Decode([]byte(data)); block != nil; block, rest = pem.Decode(rest) {
			key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				key, err = x509.ParseECPrivateKey(block.Bytes)
			}
			if k, ok := key.(*ecdsa.PrivateKey); err == nil && ok && k.PublicKey.Equal(pub) {
				found++
			}
		}
	}
	return found
}

// snapshot returns the content of every file below dir.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	content := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		content[path] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestWithoutACANothingIsMadeByOpening(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), "absent")} {
		_, err := Open(dir, nil)
		var e *Error
		if !errors.As(err, &e) || !errors.Is(err, fs.ErrNotExist) || e.Hint == "" {
			t.Errorf("Open: %v, want an Error with a hint for fs.ErrNotExist", err)
		}
		if entries, _ := os.ReadDir(dir); len(entries) > 0 {
			t.Errorf("Open left %v", entries)
		}
	}
}

func TestCAThatPermitsNothingIsNeverMade(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "ca")
	_, err := Ensure(dir, Permit{}, nil)
	var e *Error
	if !errors.As(err, &e) || e.Hint == "" {
		t.Errorf("Ensure: %v, want an Error with a hint", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory was made: %v", err)
	}
	if _, err := Ephemeral(Permit{}, nil); !errors.As(err, &e) {
		t.Errorf("Ephemeral: %v", err)
	}
}

// A process can be killed between any two steps of a creation.
func TestInterruptedCreationIsCompleted(t *testing.T) {
	t.Parallel()
	t.Run("before the key was in place", func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(t.TempDir(), "ca")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		leftover := filepath.Join(dir, ".intermediate.pem.123.tmp")
		for _, name := range []string{leftover, filepath.Join(dir, lockFile)} {
			if err := os.WriteFile(name, []byte("half a key"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Ensure(dir, permit(t, "corp.example"), nil); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(leftover); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the half-written key is still there: %v", err)
		}
	})
	t.Run("before ca.pem was in place", func(t *testing.T) {
		t.Parallel()
		dir, a := made(t)
		if err := os.Remove(a.RootFile()); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, nil); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Open: %v, want fs.ErrNotExist", err)
		}
		b, err := Ensure(dir, permit(t, "corp.example"), nil)
		if err != nil || b.Fingerprint() != a.Fingerprint() {
			t.Fatalf("Ensure made another CA: %v", err)
		}
		if got, err := os.ReadFile(a.RootFile()); err != nil || string(got) != string(a.RootPEM()) {
			t.Errorf("ca.pem is not the root: %v", err)
		}
	})
}

func TestCreationSeenHalfwayIsNoDamage(t *testing.T) {
	t.Parallel()
	base, p := t.TempDir(), permit(t, "corp.example")
	var dirs []string
	for i := range 40 {
		dirs = append(dirs, filepath.Join(base, strconv.Itoa(i), "ca"))
	}
	var creator sync.WaitGroup
	t.Cleanup(creator.Wait)
	creator.Go(func() {
		for _, dir := range dirs {
			if _, err := Ensure(dir, p, nil); err != nil {
				t.Error(err)
			}
		}
	})
	for _, dir := range dirs {
		for !t.Failed() {
			_, err := Open(dir, nil)
			if err == nil {
				break
			}
			if !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
		}
	}
}

func TestClockOutsideTheCAsLifeIsRefused(t *testing.T) {
	t.Parallel()
	dir, a := made(t)
	for _, test := range []struct {
		name string
		now  time.Time
		hint string // "" if it is accepted
	}{
		{"just before its beginning", a.root.NotBefore.Add(-time.Second), "clock"},
		{"at its beginning", a.root.NotBefore, ""},
		{"at its end", a.root.NotAfter, ""},
		{"just after its end", a.root.NotAfter.Add(time.Second), replaceHint},
	} {
		now := func() time.Time { return test.now }
		for _, open := range []func() (*Authority, error){
			func() (*Authority, error) { return Open(dir, now) },
			func() (*Authority, error) { return Ensure(dir, permit(t, "corp.example"), now) },
		} {
			_, err := open()
			var e *Error
			if test.hint == "" && err != nil || test.hint != "" && (!errors.As(err, &e) || !strings.Contains(e.Hint, test.hint)) {
				t.Errorf("%s: %v", test.name, err)
			}
		}
	}
	if life := time.Until(a.root.NotAfter); life < 729*24*time.Hour || life > 731*24*time.Hour+time.Hour {
		t.Errorf("a new CA lives %s, want 2 years", life)
	}
}
