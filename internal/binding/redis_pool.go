package binding

import (
	"errors"
	"sync"

	"github.com/redis/go-redis/v9"
)

// pool has the connections to Redis. The library finds out one by one, and by waiting,
// that they lead nowhere: dozens do where a node has gone that told nobody. So they
// are given up all at once, by what one question has found out.
type pool struct {
	options *redis.Options

	mu     sync.Mutex
	client *redis.Client
	closed bool
}

func (p *pool) begin(o *redis.Options) { p.options, p.client = o, redis.NewClient(o) }

func (p *pool) current() *redis.Client {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.client
}

// renew has what is asked from now on use new connections, and closes those of
// spent, unless that has been done.
func (p *pool) renew(spent *redis.Client) {
	p.mu.Lock()
	if p.client != spent || p.closed {
		p.mu.Unlock()
		return
	}
	p.client = redis.NewClient(p.options)
	p.mu.Unlock()
	_ = spent.Close()
}

// close ends them all; there are no new ones.
func (p *pool) close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	return p.client.Close()
}

// unmade is why there is no new connection. It says nothing of those there are.
type unmade struct{ error }

// Unwrap returns the reason.
func (u unmade) Unwrap() error { return u.error }

// ledNowhere reports whether err is of a connection that has brought no answer.
func ledNowhere(err error) bool {
	if err == nil {
		return false
	}
	if _, answered := errors.AsType[redis.Error](err); answered {
		return false
	}
	_, none := errors.AsType[unmade](err)
	return !none
}
