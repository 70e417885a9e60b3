package telemetry

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"
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
		settled(a)
	}
	for a.Errors() == 0 && sent < 1000 {
		write()
	}
	cut := sent - 1
	if a.Errors() != 1 || a.file.rest == nil {
		t.Fatalf("after %d lines: %d errors, %d bytes left over", sent, a.Errors(), len(a.file.rest))
	}
	write() // lost
	write()
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	write()
	write()
	if a.Errors() != 3 || a.Lost() != 2 { // the line that was cut off is not lost
		t.Errorf("%d errors, %d lost", a.Errors(), a.Lost())
	}
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
		a.Close(0)
		t.Error("it is opened")
	}
}

// mute returns a terminal that nobody reads: some thousand bytes go into it,
// and then no write ends. What release returns is what had gone in.
func mute(t testing.TB) (name string, release func()) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	var unlock int32
	var n uint32
	for request, p := range map[uintptr]unsafe.Pointer{syscall.TIOCSPTLCK: unsafe.Pointer(&unlock), syscall.TIOCGPTN: unsafe.Pointer(&n)} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, master.Fd(), request, uintptr(p)); errno != 0 {
			t.Fatal(errno)
		}
	}
	release = sync.OnceFunc(func() { master.Close() })
	t.Cleanup(release)
	return fmt.Sprintf("/dev/pts/%d", n), release
}

// shared is a log that is read while it is written.
type shared struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *shared) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// A disk that never answers holds up neither requests nor the end of serve, and
// what it costs is counted and told once a minute.
func TestAuditOfADiskThatHangsHoldsNobodyUp(t *testing.T) {
	hangsAndHoldsNobodyUp(t, 500, 3000)   // so that their number is bounded
	hangsAndHoldsNobodyUp(t, 20<<10, 300) // and their length
}

func hangsAndHoldsNobodyUp(t *testing.T, size, more int) {
	name, release := mute(t)
	out := new(shared)
	log := slog.New(slog.NewTextHandler(out, nil))
	a := openAudit(t, name, log)
	defer release() // before the end waits for it
	written := func(n int) {
		for i := range n {
			a.Request(asked(fmt.Sprintf("/%d/%s", i, strings.Repeat("x", size))), 0)
		}
	}
	for a.Lost() == 0 { // as soon as the terminal is full
		written(100)
	}
	before := a.Lost()
	written(more) // which would last minutes if each waited for room
	if lost := a.Lost() - before; lost != int64(more) {
		t.Errorf("%d of %d lines are counted as lost", lost, more)
	}
	if why, since, lost := a.Failing(); why == "" || since.IsZero() || lost != a.Lost() {
		t.Errorf("failing: %q since %v, %d lines of %d", why, since, lost, a.Lost())
	}
	a.Reopen()
	a.Reopen()
	if n := strings.Count(out.String(), "cannot be written"); n != 1 {
		t.Errorf("told %d times: %s", n, out)
	}
	a.Close(0)
	if !strings.Contains(out.String(), "last lines") || a.size.Load() > auditBytes+int64(size)+1000 {
		t.Errorf("%d bytes wait; logged %s", a.size.Load(), out)
	}
}

// Before anything is lost it shows that the disk hangs.
func TestAuditTellsOfAWriteThatDoesNotEnd(t *testing.T) {
	name, release := mute(t)
	out := new(shared)
	a := openAudit(t, name, slog.New(slog.NewTextHandler(out, nil)))
	defer release()
	untilFull(t, a)
	if why, _, _ := a.Failing(); why != "" {
		t.Errorf("failing at once: %q", why)
	}
	a.health.began = a.health.began.Add(-time.Minute) // a minute later
	if why, since, lost := a.Failing(); why == "" || lost != 0 || time.Since(since) < time.Minute {
		t.Errorf("failing: %q since %v, %d lines", why, since, lost)
	}
	a.Request(asked("/"), 0)
	if !strings.Contains(out.String(), "cannot be written") || !strings.Contains(out.String(), "lost=0") || a.Lost() != 0 {
		t.Errorf("%d lost; logged %s", a.Lost(), out)
	}
}

// untilFull has lines written until a's terminal takes no more. A write that has
// only just begun may still end, so one is awaited that lasts.
func untilFull(t *testing.T, a *Audit) {
	t.Helper()
	for a.health.underWay() < 500*time.Millisecond {
		if len(a.lines) < 100 {
			a.Request(asked("/"+strings.Repeat("x", 500)), 0)
		}
		runtime.Gosched()
	}
}
