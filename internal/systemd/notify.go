package systemd

import (
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// notifySocket is the variable that names the socket of sd_notify(3).
const notifySocket = "NOTIFY_SOCKET"

// grace is what a program may need beyond the time that it announced.
const grace = 10 * time.Second

// Notifier tells systemd how the program is doing. The zero Notifier, and what
// [NewNotifier] returns where nobody wants to know, tells nobody. A Notifier may
// be used concurrently.
type Notifier struct{ socket string }

// NewNotifier returns the notifier for the systemd that started this process
// with Type=notify. It is called once, before other goroutines run.
func NewNotifier() Notifier {
	n := Notifier{os.Getenv(notifySocket)}
	os.Unsetenv(notifySocket)
	return n
}

// Ready tells that the program serves; status, one line, is what systemctl
// shows.
func (n Notifier) Ready(status string) error {
	return n.send("READY=1", "STATUS="+status)
}

// Reloading tells that the program reads its configuration again. Ready follows,
// whether it took the new one over or kept the old.
func (n Notifier) Reloading() error {
	return n.send("RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", monotonic()))
}

// Stopping tells that the program ends, and may take as long as limit and a
// little more, whatever the unit's TimeoutStopSec= says.
func (n Notifier) Stopping(limit time.Duration) error {
	return n.send("STOPPING=1", "STATUS=draining", fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", (limit+grace).Microseconds()))
}

// send sends all assignments in one datagram.
func (n Notifier) send(assignments ...string) error {
	if n.socket == "" {
		return nil
	}
	// A path, or with a leading @ a name in the abstract name space: net knows both.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("telling systemd: %w", err)
	}
	defer conn.Close()
	conn.SetWriteDeadline(time.Now().Add(time.Second)) // its queue may be full
	if _, err := conn.Write([]byte(strings.Join(assignments, "\n"))); err != nil {
		return fmt.Errorf("telling systemd: %w", err)
	}
	return nil
}
