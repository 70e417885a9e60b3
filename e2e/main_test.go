// Package e2e_test runs the real binary between real clients and real servers:
// curl, git, Node's SDKs, gRPC, WebSockets, Python and Java on one side, TLS
// servers that want a token on the other. A client that is absent skips its
// tests and says why; with INJECTPROXY_REQUIRE_ALL set it fails them. What
// comes from npm is installed by .ci/run.
package e2e_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if name := os.Getenv(clientVariable); name != "" {
		os.Exit(runClient(name, os.Args[1:]))
	}
	if pair := os.Getenv(loadVariable); pair != "" {
		os.Exit(loadServer(pair))
	}
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, "goroutines are left:", err)
			code = 1
		}
	}
	if dir, err := scratch(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// scratch is a directory for what all tests share. It is gone at the end.
var scratch = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "injectproxy-e2e-") })

// binary is the program under test, built once and with the race detector if
// the tests have it.
var binary = sync.OnceValues(func() (string, error) { return build("injectproxy", raceEnabled) })

// plainBinary is the program without the race detector.
var plainBinary = sync.OnceValues(func() (string, error) { return build("injectproxy-plain", false) })

func build(name string, race bool) (string, error) {
	dir, err := scratch()
	if err != nil {
		return "", err
	}
	name = filepath.Join(dir, name)
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	args := []string{"build", "-buildvcs=false", "-o", name}
	if race {
		args = append(args, "-race")
	}
	var out bytes.Buffer
	cmd := exec.Command("go", append(args, "../cmd/injectproxy")...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("building injectproxy: %w\n%s", err, out.Bytes())
	}
	return name, nil
}

// absent skips the test for want of something that is installed separately.
func absent(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("INJECTPROXY_REQUIRE_ALL") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// need returns where a program is, or skips the test.
func need(t *testing.T, program string) string {
	t.Helper()
	p, err := exec.LookPath(program)
	if err != nil {
		absent(t, "%s is not installed", program)
	}
	return p
}
