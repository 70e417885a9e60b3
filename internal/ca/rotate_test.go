package ca

import (
	"crypto/x509"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// rotating returns the directory of a CA that is to be followed, the CA, and
// the one that is to follow it.
func rotating(t *testing.T) (dir string, old, next *Authority) {
	t.Helper()
	dir, old = made(t)
	next, err := Rotate(dir, permit(t, "corp.example", "new.example"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return dir, old, next
}

// wantCA opens the CA in dir, which has to be a and to be able to sign.
func wantCA(t *testing.T, dir string, a *Authority) *Authority {
	t.Helper()
	got, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.Fingerprint() != a.Fingerprint() {
		t.Fatalf("in the directory is %s, want %s", got.Fingerprint(), a.Fingerprint())
	}
	leaf, err := got.Leaf("corp.example")
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(a, leaf, "corp.example"); err != nil {
		t.Fatal(err)
	}
	if root, err := os.ReadFile(got.RootFile()); err != nil || string(root) != string(a.RootPEM()) {
		t.Fatalf("%s is not the root: %v", got.RootFile(), err)
	}
	return got
}

func wantRetired(t *testing.T, dir string, want ...*Authority) {
	t.Helper()
	retired, err := Retired(dir)
	if err != nil {
		t.Fatal(err)
	}
	same := func(c *x509.Certificate, a *Authority) bool { return c.Equal(a.root) }
	if !slices.EqualFunc(retired, want, same) {
		t.Errorf("%d roots are retired, want %d", len(retired), len(want))
	}
}

func wantNoRotation(t *testing.T, dir string) {
	t.Helper()
	_, err := Next(dir, nil)
	if e, ok := errors.AsType[*Error](err); !ok || !errors.Is(err, fs.ErrNotExist) || e.Hint != rotateHint {
		t.Errorf("Next: %v", err)
	}
}

func TestOldCAStaysInUseUntilTheRotationIsFinished(t *testing.T) {
	t.Parallel()
	dir, old, next := rotating(t)
	if next.Fingerprint() == old.Fingerprint() || next.Permit().String() != "corp.example, new.example" {
		t.Errorf("the next CA is for %s", next.Permit())
	}
	before := snapshot(t, dir)
	again, err := Rotate(dir, permit(t, "new.example", "corp.example"), nil)
	if err != nil || again.Fingerprint() != next.Fingerprint() {
		t.Errorf("a second call made another CA: %v", err)
	}
	got, err := Next(dir, nil)
	if err != nil || got.Fingerprint() != next.Fingerprint() {
		t.Errorf("Next: %v", err)
	}
	wantCA(t, dir, old)
	if e, err := Ensure(dir, old.permit, nil); err != nil || e.Fingerprint() != old.Fingerprint() {
		t.Errorf("Ensure: %v", err)
	}
	if !maps.Equal(before, snapshot(t, dir)) {
		t.Error("the files have changed")
	}
	wantRetired(t, dir)

	finished, err := Finish(dir, nil)
	if err != nil || finished.Fingerprint() != next.Fingerprint() {
		t.Fatalf("Finish: %v", err)
	}
	wantCA(t, dir, next)
	wantNoRotation(t, dir)
	wantRetired(t, dir, old)
	if _, err := Finish(dir, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a second Finish: %v", err)
	}
	for _, a := range []*Authority{old, next} {
		if n := keysOnDisk(t, dir, a.root.PublicKey); n != 0 {
			t.Error("the key of a root is on disk")
		}
	}
	if keysOnDisk(t, dir, old.intermediate.PublicKey) != 0 || keysOnDisk(t, dir, next.intermediate.PublicKey) != 1 {
		t.Error("on disk is not the key of the new CA alone")
	}
}

func TestRotationForOtherHostsReplacesTheOneUnderWay(t *testing.T) {
	t.Parallel()
	dir, old, next := rotating(t)
	other, err := Rotate(dir, permit(t, "other.example"), nil)
	if err != nil || other.Permit().String() != "other.example" {
		t.Fatalf("Rotate: %v", err)
	}
	wantCA(t, dir, old)
	wantRetired(t, dir, next) // somebody may trust it by now
}

func TestNextCAThatCannotBeUsedIsReplaced(t *testing.T) {
	t.Parallel()
	for _, d := range damages {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			if !hasModes && d.hint != "" {
				t.Skip("this system has no permission bits")
			}
			dir, old, next := rotating(t)
			d.do(t, filepath.Join(dir, nextDir), next)
			if _, err := Finish(dir, nil); err == nil {
				t.Error("it was put into use")
			} else if _, ok := errors.AsType[*Error](err); !ok {
				t.Errorf("Finish: %v, want an Error", err)
			}
			wantCA(t, dir, old)
			if _, err := Rotate(dir, next.permit, nil); err != nil {
				t.Fatal(err)
			}
			if _, err := Finish(dir, nil); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestCanceledRotationLeavesTheOldCA(t *testing.T) {
	t.Parallel()
	dir, old, next := rotating(t)
	if err := Cancel(dir); err != nil {
		t.Fatal(err)
	}
	wantCA(t, dir, old)
	wantNoRotation(t, dir)
	wantRetired(t, dir, next)
	if n := keysOnDisk(t, dir, next.intermediate.PublicKey); n != 0 {
		t.Error("its key is still on disk")
	}
	if err := Cancel(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a second time: %v", err)
	}
}

func TestWithoutACAThereIsNothingToRotate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, rotate := Rotate(dir, permit(t, "corp.example"), nil)
	_, finish := Finish(dir, nil)
	for _, err := range []error{rotate, finish, Cancel(dir)} {
		if e, ok := errors.AsType[*Error](err); !ok || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(e.Hint, "injectproxy serve") {
			t.Errorf("%v", err)
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) > 0 {
		t.Errorf("left %v", entries)
	}
	dir, _ = made(t)
	if _, err := Rotate(dir, Permit{}, nil); err == nil {
		t.Error("a CA that permits nothing was made")
	}
	if _, err := os.Stat(filepath.Join(dir, nextDir)); err == nil {
		t.Error("its directory was made")
	}
}

func TestRemedyNamesTheNextCAThatFits(t *testing.T) {
	t.Parallel()
	dir, old, _ := rotating(t)
	for host, want := range map[string]string{"new.example": finishHint, "evil.example": rotateHint} {
		if e, ok := errors.AsType[*Error](old.Check(host)); !ok || e.Hint != want {
			t.Errorf("%s: %q, want %q", host, e.Hint, want)
		}
	}
	if _, err := Finish(dir, nil); err != nil {
		t.Fatal(err)
	}
	if e, ok := errors.AsType[*Error](old.Check("new.example")); !ok || e.Hint != rotateHint {
		t.Errorf("without a next CA: %q", e.Hint)
	}
}

func TestBundleHoldsBothRootsWhileRotating(t *testing.T) {
	t.Parallel()
	dir, old, next := rotating(t)
	file := filepath.Join(dir, "bundle.pem")
	count := func(a *Authority) int {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(data), string(a.RootPEM()))
	}
	unset := func(string) string { return "" }
	if err := ExtendBundle(file, next.RootPEM()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a bundle of one root was made")
	}
	if err := WriteBundle(file, old.RootPEM(), nil, unset); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := ExtendBundle(file, next.RootPEM()); err != nil {
			t.Fatal(err)
		}
	}
	if count(old) != 1 || count(next) != 1 {
		t.Errorf("extended, it has the old root %d times and the next %d times", count(old), count(next))
	}
	if err := WriteBundle(file, old.TrustPEM(), nil, unset); err != nil {
		t.Fatal(err)
	}
	if count(old) != 1 || count(next) != 1 {
		t.Errorf("written, it has the old root %d times and the next %d times", count(old), count(next))
	}
	finished, err := Finish(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(finished.TrustPEM()); got != string(next.RootPEM()) {
		t.Errorf("to be trusted afterwards: %s", got)
	}
}

func TestCAEndsSoonSixtyDaysBeforeItsEnd(t *testing.T) {
	t.Parallel()
	dir, a := made(t)
	for before, want := range map[time.Duration]bool{59 * 24 * time.Hour: true, 60 * 24 * time.Hour: true, 61 * 24 * time.Hour: false} {
		b, err := Open(dir, func() time.Time { return a.root.NotAfter.Add(-before) })
		if err != nil || b.EndsSoon() != want {
			t.Errorf("%s before its end: %v, %v", before, b.EndsSoon(), err)
		}
	}
}
