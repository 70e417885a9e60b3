package gate

import (
	"net"
	"sync"
)

// listeners are those that a gate accepts from. The zero value is ready, and may be
// used concurrently.
type listeners struct {
	mu     sync.Mutex
	all    []*listener
	closed bool
}

// listener is one that may be closed twice: by a shutdown, and by http.Server.
type listener struct {
	net.Listener
	once sync.Once
	err  error
}

// Close implements [net.Listener].
func (l *listener) Close() error {
	l.once.Do(func() { l.err = l.Listener.Close() })
	return l.err
}

// add returns l as one of them. It is closed already if they are.
func (s *listeners) add(l net.Listener) net.Listener {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := &listener{Listener: l}
	if s.closed {
		one.Close()
		return one
	}
	s.all = append(s.all, one)
	return one
}

// close has nothing more accepted.
func (s *listeners) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, l := range s.all {
		l.Close()
	}
	s.all = nil
}

func (s *listeners) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}
