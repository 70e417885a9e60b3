package exchange

import (
	"container/list"
	"sync"
	"time"
)

const (
	maxEntries = 4096     // users of whom something is known
	maxKept    = 16 << 10 // bytes of a token that is kept: 64 MiB in all
)

// memory is what is known of the tokens of users. What was of use the longest ago is
// forgotten first.
type memory struct {
	mu    sync.Mutex
	of    map[key]*entry
	order *list.List // of *entry; the front was of use last
}

// held is where an entry is.
type held struct {
	at *list.Element // of the order; nil: nowhere
}

func newMemory() memory { return memory{of: map[key]*entry{}, order: list.New()} }

// get returns the entry of k, which is of use now; nil: there is none.
func (m *memory) get(k key) *entry {
	e := m.of[k]
	if e != nil {
		m.order.MoveToFront(e.held.at)
	}
	return e
}

// entry is get, or a new entry that is nowhere yet.
func (m *memory) entry(k key) *entry {
	if e := m.get(k); e != nil {
		return e
	}
	return &entry{key: k}
}

// put has e be there as it is now.
func (m *memory) put(e *entry, now time.Time) {
	if e.held.at == nil {
		e.held.at, m.of[e.key] = m.order.PushFront(e), e
	}
	if !now.Before(e.end()) {
		m.drop(e)
	}
	if m.order.Len() > maxEntries {
		m.drop(m.order.Back().Value.(*entry))
	}
}

func (m *memory) drop(e *entry) {
	m.order.Remove(e.held.at)
	delete(m.of, e.key)
}
