package ca

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// A process can be killed between any two steps of a switch; each of them is
// one rename or one removal.
func TestSwitchInterruptedAtAnyStepLeavesOneWholeCA(t *testing.T) {
	t.Parallel()
	count := func() int { dir, _, next := rotating(t); return len(finishing(dir, next)) }()
	const commit = 2
	for done := range count + 1 {
		dir, old, next := interrupted(t, done)
		want, retired := old, []*Authority{}
		if done >= commit {
			want, retired = next, []*Authority{old}
		}
		wantCA(t, dir, want)
		wantRetired(t, dir, retired...)
		if _, err := Next(dir, nil); (err == nil) != (done < commit) {
			t.Errorf("after %d steps Next says %v", done, err)
		}
		if a, err := Ensure(dir, old.permit, nil); err != nil || a.Fingerprint() != want.Fingerprint() {
			t.Fatalf("after %d steps Ensure says %v", done, err)
		}
		if root, err := os.ReadFile(filepath.Join(dir, rootFile)); err != nil || string(root) != string(want.RootPEM()) {
			t.Errorf("after %d steps and Ensure ca.pem is another's: %v", done, err)
		}
		if done < commit {
			if _, err := Finish(dir, nil); err != nil {
				t.Fatal(err)
			}
		}
		wantCA(t, dir, next)
		wantNoRotation(t, dir)
		wantRetired(t, dir, old)
	}
}

// interrupted returns a rotation of whose switch so many steps were done.
func interrupted(t *testing.T, steps int) (dir string, old, next *Authority) {
	t.Helper()
	dir, old, next = rotating(t)
	for _, step := range finishing(dir, next)[:steps] {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	return dir, old, next
}

func TestFinishCompletesWhatWasInterrupted(t *testing.T) {
	t.Parallel()
	for done := range 5 { // of six; the last one removes an empty directory
		dir, old, next := interrupted(t, done)
		if a, err := Finish(dir, nil); err != nil || a.Fingerprint() != next.Fingerprint() {
			t.Errorf("after %d steps: %v", done, err)
		}
		wantCA(t, dir, next)
		wantRetired(t, dir, old)
		if _, err := os.Stat(filepath.Join(dir, nextDir)); err == nil {
			t.Errorf("after %d steps the next CA is still there", done)
		}
	}
}

func TestSwitchThatHappenedIsNotCanceled(t *testing.T) {
	t.Parallel()
	for _, done := range []int{2, 3, 4} {
		dir, old, next := interrupted(t, done)
		if e, ok := errors.AsType[*Error](Cancel(dir)); !ok || errors.Is(e, fs.ErrNotExist) {
			t.Errorf("after %d steps: %v", done, e)
		}
		wantCA(t, dir, next)
		wantRetired(t, dir, old)
	}
}

func TestRotationInterruptedWhileItIsMadeIsTakenUp(t *testing.T) {
	t.Parallel()
	dir, old := made(t)
	if err := os.Mkdir(filepath.Join(dir, nextDir), 0o700); err != nil {
		t.Fatal(err)
	}
	wantCA(t, dir, old)
	wantNoRotation(t, dir)
	if _, err := Finish(dir, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Finish: %v", err)
	}
	next, err := Rotate(dir, old.permit, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(next.RootFile()); err != nil {
		t.Fatal(err)
	}
	wantCA(t, dir, old)
	wantNoRotation(t, dir)
	again, err := Rotate(dir, old.permit, nil)
	if err != nil || again.Fingerprint() != next.Fingerprint() {
		t.Errorf("Rotate: %v", err)
	}
	wantCA(t, filepath.Join(dir, nextDir), next)
}

func TestWhoOpensDuringRotationsSeesAWholeCA(t *testing.T) {
	t.Parallel()
	dir, old := made(t)
	done := make(chan struct{})
	var rotator sync.WaitGroup
	t.Cleanup(rotator.Wait)
	rotator.Go(func() {
		defer close(done)
		for range 60 {
			if _, err := Rotate(dir, old.permit, nil); err != nil {
				t.Error(err)
			}
			if _, err := Finish(dir, nil); err != nil {
				t.Error(err)
			}
		}
	})
	for {
		if _, err := Open(dir, nil); err != nil {
			t.Error(err)
		}
		if _, err := Next(dir, nil); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

// Between reading one file and the other, two rotations may have passed.
func TestFilesOfTwoCAsAreReadAgain(t *testing.T) {
	t.Parallel()
	dir, _, _ := rotating(t)
	f, err := readFiles(dir)
	if err != nil || f.changed() {
		t.Fatalf("changed without a change, or %v", err)
	}
	if _, err := Finish(dir, nil); err != nil {
		t.Fatal(err)
	}
	if !f.changed() {
		t.Error("the files of the CA before are taken for those of this one")
	}
}
