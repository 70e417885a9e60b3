package exchange

import (
	"container/heap"
	"container/list"
	"sync"
	"time"
)

const (
	maxEntries = 16 << 10 // users of whom something is known
	maxBytes   = 32 << 20 // of tokens, and of claims that Entra asks for
	maxKept    = 16 << 10 // bytes of a token that is kept
)

// memory is what is known of the tokens of users, within both bounds. What is over
// goes first, as soon as something else comes, and then what was of use the longest
// ago.
type memory struct {
	mu    sync.Mutex
	of    map[key]*entry
	order *list.List // of *entry; the front was of use last
	ends  ends
	bytes int
}

// held is where an entry is, and as what it counts.
type held struct {
	at    *list.Element // of the order; nil: nowhere
	place int           // among the ends
	end   time.Time
	bytes int
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

// put has e count as what it is now.
func (m *memory) put(e *entry, now time.Time) {
	if e.held.at == nil {
		e.held.at, m.of[e.key] = m.order.PushFront(e), e
		heap.Push(&m.ends, e)
	}
	m.bytes += e.bytes() - e.held.bytes
	e.held.end, e.held.bytes = e.end(), e.bytes()
	heap.Fix(&m.ends, e.held.place)
	for len(m.ends) > 0 && !now.Before(m.ends[0].held.end) {
		m.drop(m.ends[0])
	}
	for m.order.Len() > maxEntries || m.bytes > maxBytes {
		m.drop(m.order.Back().Value.(*entry))
	}
}

func (m *memory) drop(e *entry) {
	m.order.Remove(e.held.at)
	heap.Remove(&m.ends, e.held.place)
	m.bytes -= e.held.bytes
	delete(m.of, e.key)
}

// ends are entries as a [heap.Interface]: the first is the one that is over first.
type ends []*entry

func (s ends) Len() int           { return len(s) }
func (s ends) Less(i, j int) bool { return s[i].held.end.Before(s[j].held.end) }

func (s ends) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].held.place, s[j].held.place = i, j
}

// Push implements [heap.Interface].
func (s *ends) Push(e any) {
	e.(*entry).held.place = len(*s)
	*s = append(*s, e.(*entry))
}

// Pop implements [heap.Interface].
func (s *ends) Pop() any {
	last := len(*s) - 1
	e := (*s)[last]
	(*s)[last] = nil
	*s = (*s)[:last]
	return e
}
