package e2e_test

import (
	"net"
	"sync"
)

// faultyDoor is a listener that can be shut: who has come in is thrown out, and who
// comes is turned away, until it is opened again. The address stays taken.
type faultyDoor struct {
	net.Listener

	mu     sync.Mutex
	closed bool
	inside map[*entrant]bool
	came   int // connections that were let in
}

// entrant is a connection that leaves the door's list when it is closed.
type entrant struct {
	*net.TCPConn
	door *faultyDoor
}

func (d *faultyDoor) Accept() (net.Conn, error) {
	for {
		c, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		v := &entrant{TCPConn: c.(*net.TCPConn), door: d}
		if d.admit(v) {
			return v, nil
		}
		v.reset()
	}
}

func (d *faultyDoor) admit(v *entrant) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	if d.inside == nil {
		d.inside = map[*entrant]bool{}
	}
	d.inside[v] = true
	d.came++
	return true
}

// shut shuts the door, or opens it.
func (d *faultyDoor) shut(shut bool) {
	d.mu.Lock()
	d.closed = shut
	var out []*entrant
	for v := range d.inside {
		out = append(out, v)
	}
	d.mu.Unlock()
	for _, v := range out {
		if shut {
			v.reset()
		}
	}
}

// reset closes the connection as the kernel does for a process that was killed
// with data unread.
func (v *entrant) reset() {
	v.SetLinger(0)
	v.Close()
}

// Close implements net.Conn.
func (v *entrant) Close() error {
	v.door.mu.Lock()
	delete(v.door.inside, v)
	v.door.mu.Unlock()
	return v.TCPConn.Close()
}
