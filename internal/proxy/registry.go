package proxy

import (
	"context"
	"net"
	"sync"
)

// registry knows the work that no http.Server waits for, and the connections
// that none closes: tunnels, upgraded connections, and intercepted ones before
// their handshake is done.
type registry struct {
	mu       sync.Mutex
	conns    map[net.Conn]struct{}
	handlers int
	closed   bool
	idle     chan struct{} // closed when no handler is left; nil while nobody waits
}

// enter counts a handler that begins to run, and says leave when it has ended.
// It reports false, and counts nothing, once the registry is closed.
func (r *registry) enter() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.handlers++
	return true
}

func (r *registry) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.handlers--
	if r.handlers == 0 && r.idle != nil {
		close(r.idle)
		r.idle = nil
	}
}

// add takes c, which a running handler owns, into the registry and returns
// the function that takes it out. It reports false once the connections were
// cut: c must not be used then.
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
}

// drain waits until no handler is left. When ctx ends first it cuts the
// connections that remain, refuses further ones, and waits for their owners.
func (r *registry) drain(ctx context.Context) error {
	select {
	case <-r.whenIdle():
		return nil
	case <-ctx.Done():
	}
	r.mu.Lock()
	r.closed = true
	for c := range r.conns {
		abort(c)
	}
	r.mu.Unlock()
	<-r.whenIdle()
	return ctx.Err()
}

func (r *registry) whenIdle() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.idle != nil {
		return r.idle
	}
	idle := make(chan struct{})
	if r.handlers == 0 {
		close(idle)
	} else {
		r.idle = idle
	}
	return idle
}
