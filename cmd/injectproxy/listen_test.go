package main

import (
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestAddressInUseIsKnownOnEverySystem(t *testing.T) {
	t.Parallel()
	for name, errno := range map[string]syscall.Errno{"here": syscall.EADDRINUSE, "Windows": 10048} {
		err := listenError("127.0.0.1:8877", &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", errno)})
		f, ok := errors.AsType[*failure](err)
		if !ok || !strings.Contains(f.hint, "--listen") || strings.Contains(f.Error(), "bind") {
			t.Errorf("%s: %v, hint %q", name, err, f.hint)
		}
	}
}
