package ca

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// workerEnv turns the test binary into a process that calls Ensure for every
// directory it is told, as the one of that number; or, as the rotator, into one
// that rotates the CA of the first one until it is killed.
const (
	workerEnv = "CA_TEST_WORKER"
	rotator   = "rotator"
)

func worker() int {
	p, err := ParsePermit([]string{"worker" + os.Getenv(workerEnv) + ".example"})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if os.Getenv(workerEnv) == rotator {
			fmt.Println(rotateForever(lines.Text()))
			return 1
		}
		a, err := Ensure(lines.Text(), p, nil)
		if err != nil {
			fmt.Println("error:", err)
			continue
		}
		fmt.Println(a.Fingerprint(), a.Permit())
	}
	return 0
}

// rotateForever says so after each rotation.
func rotateForever(dir string) error {
	for {
		a, err := Open(dir, nil)
		if err != nil {
			return err
		}
		if _, err := Rotate(dir, a.permit, nil); err != nil {
			return err
		}
		if _, err := Finish(dir, nil); err != nil {
			return err
		}
		fmt.Println("rotated")
	}
}

func TestProcessKilledWhileItRotatesLeavesAWholeCA(t *testing.T) {
	t.Parallel()
	dir, old := made(t)
	seen := map[string]bool{old.Fingerprint(): true}
	const kills = 25
	for i := range kills {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), workerEnv+"="+rotator)
		cmd.Stdin = strings.NewReader(dir + "\n")
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "rotated\n" {
			t.Errorf("%q, %v", line, err)
		}
		// It is somewhere in the next one by the time that this has looked.
		for range i % 6 {
			if _, err := Open(dir, nil); err != nil {
				t.Error(err)
			}
		}
		cmd.Process.Kill()
		cmd.Wait()
		a, err := Ensure(dir, old.permit, nil)
		if err != nil {
			t.Fatal(err)
		}
		seen[a.Fingerprint()] = true
		wantCA(t, dir, a)
	}
	if len(seen) <= kills {
		t.Errorf("%d CAs were seen: nothing was rotated", len(seen))
	}
	if _, err := Rotate(dir, old.permit, nil); err != nil {
		t.Error(err)
	}
	if _, err := Finish(dir, nil); err != nil {
		t.Error(err)
	}
	leftovers, err := filepath.Glob(filepath.Join(dir, tempPattern(secretFile)))
	if err != nil || len(leftovers) > 0 {
		t.Errorf("left is %q, %v", leftovers, err)
	}
}

func TestSixProcessesAtOnceAgreeOnOneCA(t *testing.T) {
	t.Parallel()
	const processes, rounds = 6, 40
	var stdin [processes]io.WriteCloser
	var stdout [processes]*bufio.Reader
	for i := range processes {
		stdin[i], stdout[i] = startWorker(t, i)
	}
	for range rounds {
		dir := filepath.Join(t.TempDir(), "home", "ca")
		for i := range processes {
			if _, err := fmt.Fprintln(stdin[i], dir); err != nil {
				t.Fatal(err)
			}
		}
		var answers [processes]string
		for i := range processes {
			answer, err := stdout[i].ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			answers[i] = strings.TrimSpace(answer)
		}
		a, err := Open(dir, nil)
		if err != nil {
			t.Fatalf("%v after %q", err, answers)
		}
		for _, answer := range answers {
			if want := a.Fingerprint() + " " + a.Permit().String(); answer != want {
				t.Errorf("a process has %q, on disk is %q", answer, want)
			}
		}
		if n := len(snapshot(t, dir)); n != 3 {
			t.Errorf("%d files were left, want 3", n)
		}
	}
}

func startWorker(t *testing.T, number int) (io.WriteCloser, *bufio.Reader) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", workerEnv, number))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	return stdin, bufio.NewReader(stdout)
}
