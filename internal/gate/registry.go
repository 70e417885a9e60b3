package gate

import (
	"context"
	"net"
	"sync"
)

// registry knows the handlers that run, which http.Server.Close does not wait
// for, and the connections that were upgraded, which it does not close.
type registry struct {
	mu       sync.Mutex
	conns    map[net.Conn]struct{}
	handlers int
	closed   bool
	idle     chan struct{} // closed when no handler is left; nil while nobody waits
}

// enter counts a handler that begins to run. It is false once the registry is
// closed.
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

// add takes c, which a running handler owns, and returns what takes it out again.
// It is false once the connections were cut: c must not be used then.
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
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.conns, c)
	}, true
}

// drain waits until no handler is left. When ctx ends first it cuts the
// connections, lets no handler in any more, and waits for those that run.
func (r *registry) drain(ctx context.Context) error {
	select {
	case <-r.whenIdle():
		return nil
	case <-ctx.Done():
	}
	r.mu.Lock()
	r.closed = true
	busy := r.handlers > 0
	for c := range r.conns {
		c.Close()
	}
	r.mu.Unlock()
	if !busy {
		return nil
	}
	<-r.whenIdle()
	return ctx.Err()
}

// rests reports whether no handler runs.
func (r *registry) rests() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.handlers == 0
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
