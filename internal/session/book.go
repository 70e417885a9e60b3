package session

import (
	"container/list"
	"context"
	"sync"
	"time"
)

// What a Book holds at most. Beyond that the session that was not used for the
// longest time is forgotten, one without a stream or a request in flight first: its client is answered as without this package.
const (
	mostSessions = 4096
	mostBytes    = 64 << 20
	mostIdle     = 24 * time.Hour // without a stream or a request in flight
	overhead     = 1 << 10        // of a session, besides what it stores of messages
)

// Book knows the sessions of all routes that share it. It is safe for
// concurrent use.
type Book struct {
	ctx     context.Context // of all recoveries
	end     context.CancelFunc
	running sync.WaitGroup
	rests   rests

	mu       sync.Mutex // never taken with that of a session held
	sessions map[key]*list.Element
	used     *list.List // of *session, the last used first
	bytes    int
	closed   bool
}

// key is what a session is known by. The id is the client's.
type key struct{ owner, target, id string }

// NewBook returns an empty Book.
func NewBook() *Book {
	b := &Book{sessions: map[key]*list.Element{}, used: list.New()}
	b.ctx, b.end = context.WithCancel(context.Background())
	return b
}

// Sessions returns what is known of each live session, the last used first.
func (b *Book) Sessions() []Summary {
	b.mu.Lock()
	b.expire(time.Now())
	all := make([]Summary, 0, b.used.Len())
	for e := b.used.Front(); e != nil; e = e.Next() {
		s := e.Value.(*session)
		all = append(all, Summary{Session: s.digest, Owner: s.key.owner, Target: s.key.target, Began: s.began, Used: s.used})
		s.summarise(&all[len(all)-1])
	}
	b.mu.Unlock()
	return all
}

// Close ends all recoveries and waits for them. None begins after it.
func (b *Book) Close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.end()
	b.running.Wait()
}

// run calls f in a goroutine that Close waits for. It returns false if the Book
// is closed.
func (b *Book) run(f func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.running.Go(f)
	return true
}

// find returns the session that k is the key of, nil if there is none.
func (b *Book) find(k key) *session {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.expire(now)
	e := b.sessions[k]
	if e == nil {
		return nil
	}
	b.use(e, now)
	return e.Value.(*session)
}

// touch takes note that s was in use until now.
func (b *Book) touch(s *session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.sessions[s.key]; e != nil && e.Value == any(s) {
		b.use(e, time.Now())
	}
}

// add adds s, in place of what has the same key.
func (b *Book) add(s *session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.used = time.Now()
	b.expire(s.used)
	if e := b.sessions[s.key]; e != nil {
		b.drop(e)
	}
	b.sessions[s.key] = b.used.PushFront(s)
	b.bytes += s.size
	b.evict()
}

// forget removes s.
func (b *Book) forget(s *session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.sessions[s.key]; e != nil && e.Value == any(s) {
		b.drop(e)
	}
}

// grow takes note that s stores n bytes more, or less.
func (b *Book) grow(s *session, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.sessions[s.key]; e != nil && e.Value == any(s) {
		s.size += n
		b.bytes += n
		b.evict()
	}
}

// The rest is called with the lock held.

func (b *Book) use(e *list.Element, now time.Time) {
	e.Value.(*session).used = now
	b.used.MoveToFront(e)
}

func (b *Book) evict() {
	for b.used.Len() > mostSessions || b.bytes > mostBytes {
		b.drop(b.spare())
	}
}

// spare returns the session that is missed the least: the one that was not used
// for the longest time of those in which nothing is open.
func (b *Book) spare() *list.Element {
	for e := b.used.Back(); e != b.used.Front(); e = e.Prev() {
		if !e.Value.(*session).busy() {
			return e
		}
	}
	return b.used.Back()
}

// expire drops what has been idle for too long.
func (b *Book) expire(now time.Time) {
	for e := b.used.Back(); e != nil && now.Sub(e.Value.(*session).used) > mostIdle; {
		before := e.Prev()
		if !e.Value.(*session).busy() {
			b.drop(e)
		}
		e = before
	}
}

func (b *Book) drop(e *list.Element) {
	s := b.used.Remove(e).(*session)
	delete(b.sessions, s.key)
	b.bytes -= s.size
	s.gone.Store(true)
}
