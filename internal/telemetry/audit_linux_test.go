package telemetry

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// smallDisk mounts a file system of the given size.
func smallDisk(t testing.TB, bytes int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		if os.Getenv("INJECTPROXY_REQUIRE_ALL") != "" {
			t.Fatal(err)
		}
		t.Skipf("mounting takes root: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// A disk that fills up costs lines, but none is torn: what was cut off is
// written once there is room.
func TestAuditOnAFullDiskTearsNoLine(t *testing.T) {
	dir := smallDisk(t, 64<<10)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 32<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	log, out := newLogger(t, "info", "text")
	name := filepath.Join(dir, "audit")
	a := openAudit(t, name, log)
	sent := 0
	write := func() {
		a.Request(asked(fmt.Sprintf("/%d/%s", sent, strings.Repeat("x", 500))), time.Millisecond)
		sent++
	}
	for a.Errors() == 0 && sent < 1000 {
		write()
	}
	cut := sent - 1
	if a.Errors() != 1 || a.rest == nil {
		t.Fatalf("after %d lines: %d errors, %d bytes left over", sent, a.Errors(), len(a.rest))
	}
	write() // lost
	write()
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	write()
	write()
	got := auditPaths(t, name)
	if len(got) != sent-2 || !strings.HasPrefix(got[cut], fmt.Sprintf("/%d/", cut)) || !strings.HasPrefix(got[cut+1], fmt.Sprintf("/%d/", cut+3)) {
		t.Errorf("%d of %d lines", len(got), sent)
	}
	if n := strings.Count(out.String(), "cannot be written"); n != 1 || !strings.Contains(out.String(), "no space left") || !strings.Contains(out.String(), "lost=2") {
		t.Errorf("logged %s", out)
	}
}

func TestAuditRefusesAPipe(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	if a, err := OpenAudit(name, nil); err == nil {
		a.Close()
		t.Error("it is opened")
	}
}
