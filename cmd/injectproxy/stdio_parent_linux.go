package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// outlived waits for the end of the parent, and reports whether it came before
// quit was closed.
func outlived(parent int, quit <-chan struct{}) bool {
	fd, err := unix.PidfdOpen(parent, 0)
	if err != nil {
		return adopted(parent, quit) // before Linux 5.3, or a sandbox
	}
	if os.Getppid() != parent { // the number may be that of another process by now
		unix.Close(fd)
		return true
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return adopted(parent, quit)
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	defer f.Close()
	return readable(f, quit) || os.Getppid() != parent || !closed(quit) && adopted(parent, quit)
}

// readable waits, without a thread of its own, until f can be read, as it can
// once the process that it stands for has ended; or false, once quit is closed
// or f cannot be waited for.
func readable(f *os.File, quit <-chan struct{}) bool {
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	waiting := make(chan bool, 1)
	go func() {
		ready := false
		err := raw.Read(func(fd uintptr) bool {
			n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
			ready = n > 0
			return ready
		})
		waiting <- err == nil && ready
	}()
	select {
	case ready := <-waiting:
		return ready
	case <-quit:
		f.Close()
		return <-waiting
	}
}

func closed(quit <-chan struct{}) bool {
	select {
	case <-quit:
		return true
	default:
		return false
	}
}
