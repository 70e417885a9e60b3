package systemd

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"
)

// Listener returns the listening TCP socket that systemd handed over, or nil
// if there is none. The socket stays open in systemd when the listener is
// closed: who connects meanwhile waits for the next start. The errors name the
// directive of the socket unit that has to change.
//
// Listener is called once, before the process has other goroutines and opens
// files.
func Listener() (net.Listener, error) {
	files := activation.Files(true)
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	switch len(files) {
	case 0:
		return nil, nil
	case 1:
		return listenerOf(files[0])
	}
	return nil, fmt.Errorf("systemd handed over %d sockets: write one ListenStream= in the socket unit", len(files))
}

func listenerOf(f *os.File) (net.Listener, error) {
	kind, err := option(f, unix.SO_TYPE)
	if err != nil {
		return nil, errors.New("systemd handed over something that is no socket: write ListenStream= in the socket unit")
	}
	if kind != unix.SOCK_STREAM {
		return nil, errors.New("systemd handed over a socket that is not for streams: write ListenStream= in the socket unit")
	}
	if listens, err := option(f, unix.SO_ACCEPTCONN); err != nil || listens == 0 {
		return nil, errors.New("systemd handed over a connection in place of a socket that listens: write Accept=no in the socket unit")
	}
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("the socket of systemd: %w", err)
	}
	if _, ok := l.(*net.TCPListener); !ok {
		l.Close()
		return nil, errors.New("systemd handed over a socket that is not of TCP: write ListenStream=127.0.0.1:8877 or the like in the socket unit")
	}
	return l, nil
}

// option returns a socket option without a change to how f blocks.
func option(f *os.File, name int) (value int, err error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	if failed := conn.Control(func(fd uintptr) { value, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, name) }); failed != nil {
		return 0, failed
	}
	return value, err
}
