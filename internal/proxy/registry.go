package proxy

import (
	"context"
	"net"
	"sync"
)

// registry knows the connections that no http.Server looks after: tunnels,
// upgraded connections, and intercepted ones before their handshake is done.
type registry struct {
	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
	empty  chan struct{} // closed when drained and no connection is left
}

// add takes c into the registry and returns the function that takes it out.
// It reports false once the registry is closed: c must not be used then.
func (r *registry) add(c net.Conn) (remove func(), ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, false
	}
	if r.conns == nil {
		r.conns = map[net.Conn]struct{}{}
	}
	r.conns[c] = struct{}{}
	return func() { r.remove(c) }, true
}

func (r *registry) remove(c net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, c)
	if len(r.conns) == 0 && r.empty != nil {
		close(r.empty)
		r.empty = nil
	}
}

// drain waits until no connection is left. When ctx ends first it closes
// those that remain, refuses further ones, and waits for their owners.
func (r *registry) drain(ctx context.Context) error {
	select {
	case <-r.whenEmpty():
		return nil
	case <-ctx.Done():
	}
	r.mu.Lock()
	r.closed = true
	for c := range r.conns {
		c.Close()
	}
	r.mu.Unlock()
	<-r.whenEmpty()
	return ctx.Err()
}

func (r *registry) whenEmpty() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	done := make(chan struct{})
	if len(r.conns) == 0 {
		close(done)
		return done
	}
	if r.empty == nil {
		r.empty = done
		return done
	}
	return r.empty
}

// len returns the number of connections.
func (r *registry) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.conns)
}
