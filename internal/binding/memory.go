package binding

import (
	"container/list"
	"context"
	"sync"
	"time"
)

// What is kept of sessions at most. Beyond it the one is forgotten that was not
// used for the longest time: its client has to begin another.
const (
	mostSessions = 100_000
	mostUnused   = 24 * time.Hour
	// mostOwned is how many one owner may have, so that nobody can have all
	// others forgotten.
	mostOwned = mostSessions / 10
)

// Memory is a Table in the memory of one process, bounded in all and for each
// owner. Make one with NewMemory. It never fails.
type Memory struct {
	mu              sync.Mutex
	known           map[Key]*entry
	used            *list.List           // of *entry, the last used first
	owned           map[Owner]*list.List // likewise, of each owner
	most, mostOwned int
}

type entry struct {
	key Key
	Binding
	used     time.Time
	all, own *list.Element
}

// NewMemory returns a Table without a session.
func NewMemory() *Memory {
	return &Memory{known: map[Key]*entry{}, used: list.New(), owned: map[Owner]*list.List{}, most: mostSessions, mostOwned: mostOwned}
}

// Find implements [Table].
func (m *Memory) Find(_ context.Context, keys ...Key) ([]Binding, error) {
	found := make([]Binding, len(keys))
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire()
	for i, k := range keys {
		if e := m.known[k]; e != nil {
			m.use(e)
			found[i] = e.Binding
		}
	}
	return found, nil
}

// Bind implements [Table].
func (m *Memory) Bind(_ context.Context, k Key, b Binding) (Binding, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire()
	if e := m.known[k]; e != nil {
		if e.Owner != b.Owner && e.Owner != (Owner{}) {
			return e.Binding, nil
		}
		m.drop(e)
	}
	m.add(&entry{key: k, Binding: b})
	return b, nil
}

// Forget implements [Table].
func (m *Memory) Forget(_ context.Context, keys ...Key) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range keys {
		if e := m.known[k]; e != nil {
			m.drop(e)
		}
	}
	return nil
}

// Shared implements [Table].
func (*Memory) Shared() bool { return false }

// Count returns how many sessions are known.
func (m *Memory) Count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire()
	return len(m.known)
}

// The rest is called with the lock held.

func (m *Memory) add(e *entry) {
	own := m.owned[e.Owner]
	if own == nil {
		own = list.New()
		m.owned[e.Owner] = own
	}
	e.used, e.all, e.own = time.Now(), m.used.PushFront(e), own.PushFront(e)
	m.known[e.key] = e
	if own.Len() > m.mostOwned {
		m.drop(own.Back().Value.(*entry))
	}
	if len(m.known) > m.most {
		m.drop(m.used.Back().Value.(*entry))
	}
}

func (m *Memory) use(e *entry) {
	e.used = time.Now()
	m.used.MoveToFront(e.all)
	m.owned[e.Owner].MoveToFront(e.own)
}

// expire drops what has been idle for too long.
func (m *Memory) expire() {
	for now := time.Now(); m.used.Len() > 0; {
		e := m.used.Back().Value.(*entry)
		if now.Sub(e.used) <= mostUnused {
			return
		}
		m.drop(e)
	}
}

func (m *Memory) drop(e *entry) {
	delete(m.known, e.key)
	m.used.Remove(e.all)
	own := m.owned[e.Owner]
	if own.Remove(e.own); own.Len() == 0 {
		delete(m.owned, e.Owner)
	}
}
