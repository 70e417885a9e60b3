//go:build unix

package binding

import (
	"syscall"
	"testing"
)

// hang has Redis take connections and answer nothing.
func (s *store) hang(t testing.TB) { s.signal(t, syscall.SIGSTOP) }

// goOn ends hang. What was asked meanwhile is answered.
func (s *store) goOn(t testing.TB) { s.signal(t, syscall.SIGCONT) }

func (s *store) signal(t testing.TB, what syscall.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(what); err != nil {
		t.Fatal(err)
	}
}
