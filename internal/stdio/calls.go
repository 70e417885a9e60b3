package stdio

import (
	"maps"
	"sync"
)

// mostAsked is how many requests of the server's are remembered at most.
const mostAsked = 1024

// calls are the requests that are under way, both ways.
type calls struct {
	mu      sync.Mutex
	pending map[string]*call // the client's, by the key of their id
	tokens  map[string]*call // those that have a clock, by the key of their progress token
	asked   map[string]*call // the server's, by the key of their id: on whose stream they came; nil: on none
	halt    halt
}

func newCalls() *calls {
	return &calls{pending: map[string]*call{}, tokens: map[string]*call{}, asked: map[string]*call{}}
}

// add takes c in, unless a call of its id is pending.
func (s *calls) add(c *call) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending[c.key] != nil {
		return false
	}
	s.pending[c.key] = c
	if c.token != "" {
		s.tokens[c.token] = c
	}
	return true
}

// get returns the pending call of a key, nil if there is none.
func (s *calls) get(key string) *call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pending[key]
}

// take returns the pending call of a key, nil if there is none. It is pending
// no more: whoever has taken it answers it.
func (s *calls) take(key string) *call {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.pending[key]
	if c != nil {
		s.remove(c)
	}
	return c
}

// settle is take of c itself.
func (s *calls) settle(c *call) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending[c.key] != c {
		return false
	}
	s.remove(c)
	return true
}

func (s *calls) remove(c *call) {
	delete(s.pending, c.key)
	if s.tokens[c.token] == c {
		delete(s.tokens, c.token)
	}
}

// progress returns the call of a progress token.
func (s *calls) progress(token string) *call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens[token]
}

// ask takes note that the server has asked something on the stream of c, whose
// clock stands still until the client has replied; all do if c is nil.
func (s *calls) ask(key string, c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.asked[key]; ok || len(s.asked) >= mostAsked {
		return
	}
	s.asked[key] = c
	s.wait(c, 1)
}

// asking reports whether the server waits for the client.
func (s *calls) asking() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked) > 0
}

// reply takes note that the client has replied, or need not any more.
func (s *calls) reply(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := s.asked[key]; ok {
		delete(s.asked, key)
		s.wait(c, -1)
	}
}

func (s *calls) wait(c *call, n int) {
	if c == nil {
		s.halt.wait(n)
		return
	}
	c.clock.wait(n)
}

// forget drops what the server has asked on the stream of c, which is over.
func (s *calls) forget(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.asked, func(_ string, on *call) bool { return on == c })
}
