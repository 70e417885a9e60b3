package proxy

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// longestRetransmission is the most that the kernel waits between two tries to
// deliver what the peer does not acknowledge. Its 15 tries then take 50 s, not 15
// minutes: probes are not sent meanwhile, and HTTP/1 has none of its own. A
// peer that acknowledges and does not read is waited for as ever, which
// TCP_USER_TIMEOUT would not do.
const longestRetransmission = 4000 // milliseconds

// boundRetransmission sets it for a connection. Kernels before 6.15 cannot.
func boundRetransmission(c syscall.RawConn) {
	c.Control(func(fd uintptr) {
		unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_RTO_MAX_MS, longestRetransmission)
	})
}
