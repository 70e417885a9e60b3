package entratest

import (
	"net"
	"sync"
)

// door is a listener that can be shut and opened again without giving up its
// port.
type door struct {
	net.Listener
	mu     sync.Mutex
	closed bool
	conns  map[*visitor]struct{}
}

func newDoor(l net.Listener) *door {
	return &door{Listener: l, conns: make(map[*visitor]struct{})}
}

// Accept returns the next connection made while the door is open; those made
// while it is shut are reset.
func (d *door) Accept() (net.Conn, error) {
	for {
		c, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		v := &visitor{Conn: c, door: d}
		if d.admit(v) {
			return v, nil
		}
		v.reset()
	}
}

func (d *door) admit(v *visitor) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	d.conns[v] = struct{}{}
	return true
}

// shut closes or opens the door. Closing it resets whoever is inside.
func (d *door) shut(closed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = closed
	if !closed {
		return
	}
	for v := range d.conns {
		v.reset()
	}
	clear(d.conns)
}

// visitor is a connection that tells its door when it leaves.
type visitor struct {
	net.Conn
	door *door
}

func (v *visitor) Close() error {
	v.door.mu.Lock()
	delete(v.door.conns, v)
	v.door.mu.Unlock()
	return v.Conn.Close()
}

// reset closes the connection the way a dead host's kernel would: by RST.
func (v *visitor) reset() {
	if tcp, ok := v.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // fails only on a connection that is gone already
	}
	_ = v.Conn.Close()
}
