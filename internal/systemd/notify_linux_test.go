package systemd

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestSystemdIsToldInOneDatagramEach(t *testing.T) {
	for name, socket := range map[string]string{
		"path":     filepath.Join(t.TempDir(), "notify"),
		"abstract": "@injectproxy-" + filepath.Base(t.TempDir()) + "-" + time.Now().Format("150405.000000000"),
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			t.Setenv(notifySocket, socket)
			n := NewNotifier()
			if v, ok := os.LookupEnv(notifySocket); ok {
				t.Errorf("children will see %s=%s", notifySocket, v)
			}
			for _, step := range []struct {
				err  error
				want string
			}{
				{n.Ready("listening"), "READY=1\nSTATUS=listening"},
				{n.Stopping(time.Minute), "STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC=70000000"},
			} {
				if step.err != nil {
					t.Fatal(step.err)
				}
				b := make([]byte, 4096)
				conn.SetReadDeadline(time.Now().Add(time.Minute))
				k, err := conn.Read(b)
				if err != nil || string(b[:k]) != step.want {
					t.Errorf("told %q, %v; want %q", b[:k], err, step.want)
				}
			}
		})
	}
}

func TestNobodyIsToldWhereNobodyAsks(t *testing.T) {
	t.Setenv(notifySocket, "")
	if err := NewNotifier().Ready("listening"); err != nil {
		t.Error(err)
	}
	if err := (Notifier{}).Stopping(time.Second); err != nil {
		t.Error(err)
	}
}

func TestASystemdThatIsGoneIsAnError(t *testing.T) {
	t.Setenv(notifySocket, filepath.Join(t.TempDir(), "gone"))
	if err := NewNotifier().Ready("listening"); err == nil {
		t.Error("no error")
	}
}
