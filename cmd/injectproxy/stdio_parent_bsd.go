//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package main

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// outlived waits for the end of the parent, and reports whether it came before
// quit was closed.
func outlived(parent int, quit <-chan struct{}) bool {
	queue, err := unix.Kqueue()
	if err != nil {
		return adopted(parent, quit)
	}
	defer unix.Close(queue)
	unix.CloseOnExec(queue)
	var end unix.Kevent_t
	unix.SetKevent(&end, parent, unix.EVFILT_PROC, unix.EV_ADD|unix.EV_ONESHOT)
	end.Fflags = unix.NOTE_EXIT
	if _, err := unix.Kevent(queue, []unix.Kevent_t{end}, nil, nil); err != nil {
		return adopted(parent, quit) // it may have ended just now
	}
	now := unix.NsecToTimespec(int64(ppidInterval))
	for os.Getppid() == parent {
		select {
		case <-quit:
			return false
		default:
		}
		if n, err := unix.Kevent(queue, nil, make([]unix.Kevent_t, 1), &now); n > 0 {
			return true
		} else if err != nil && !errors.Is(err, unix.EINTR) {
			return adopted(parent, quit)
		}
	}
	return true
}
