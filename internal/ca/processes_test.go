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
// directory it is told, as the one of that number.
const workerEnv = "CA_TEST_WORKER"

func worker() int {
	p, err := ParsePermit([]string{"worker" + os.Getenv(workerEnv) + ".example"})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		a, err := Ensure(lines.Text(), p, nil)
		if err != nil {
			fmt.Println("error:", err)
			continue
		}
		fmt.Println(a.Fingerprint(), a.Permit())
	}
	return 0
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
