package ca

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(workerEnv) != "" {
		os.Exit(worker())
	}
	goleak.VerifyTestMain(m)
}

// require skips a test for want of a program, or fails it where everything
// has to run.
func require(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	if os.Getenv("INJECTPROXY_REQUIRE_ALL") != "" {
		t.Fatalf("%s is not installed", program)
	}
	t.Skipf("%s is not installed", program)
	return ""
}

func permit(t testing.TB, entries ...string) Permit {
	t.Helper()
	p, err := ParsePermit(entries)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func ephemeral(t testing.TB, entries ...string) *Authority {
	t.Helper()
	a, err := Ephemeral(permit(t, entries...), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
