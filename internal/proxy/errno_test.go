package proxy

import (
	"net"
	"os"
	"syscall"
	"testing"
)

// Windows reports these under numbers that package syscall's names do not
// have there.
func TestWindowsNamesForDialErrorsAreKnown(t *testing.T) {
	for errno, want := range map[syscall.Errno]string{
		syscall.ECONNREFUSED: "upstream-refused", 10061: "upstream-refused",
		syscall.EHOSTUNREACH: "upstream-unreachable", 10065: "upstream-unreachable",
		syscall.ENETUNREACH: "upstream-unreachable", 10051: "upstream-unreachable",
		syscall.EMFILE: "out-of-descriptors", 10024: "out-of-descriptors",
		syscall.ECONNRESET: "upstream-aborted",
	} {
		err := &net.OpError{Op: "dial", Err: os.NewSyscallError("connectex", errno)}
		if got := answerFor(err, "api.test:443").Type; got != want {
			t.Errorf("errno %d: %s, want %s", errno, got, want)
		}
	}
}
