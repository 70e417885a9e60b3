package exchange

import (
	"container/list"
	"crypto/sha256"
	"sync"
	"time"
)

const (
	maxEntries = 4096     // users whose tokens are kept, and refusals
	maxKept    = 16 << 10 // bytes of a token that is kept: 64 MiB in all

	renewBefore = 5 * time.Minute // of a token's end: another is asked for
	useUntil    = time.Minute     // before a token's end: it is not used any more
	renewAfter  = 30 * time.Second
	proven      = 10 * time.Second // a token that is refused so soon was refused for what it is
)

// key is what something is remembered by: a hash of all that decides on it.
type key [sha256.Size]byte

// memory is what the tokens of users were exchanged for, and what Entra refused.
// What was of use the longest ago is forgotten first. Neither the tokens that were
// exchanged nor whose they are is in it.
type memory struct {
	mu    sync.Mutex
	of    map[key]*list.Element
	order *list.List // of *entry; the front was of use last
}

// entry is either a token or a refusal.
type entry struct {
	key key

	token   string
	expires time.Time
	issued  time.Time
	tried   time.Time // when another was last asked for
	forced  bool      // it replaced one that the API refused
	claims  string    // that it was asked for with

	refusal *Refusal
	until   time.Time // when the refusal is forgotten
}

func newMemory() memory { return memory{of: map[key]*list.Element{}, order: list.New()} }

// look returns what is remembered for a plain query: a token that is good, and
// whether it is time to ask for another; or a refusal; or nothing.
func (m *memory) look(q query, now time.Time) (a answer, due bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.get(q.key)
	switch {
	case e == nil:
		return answer{}, false
	case now.Before(e.until):
		return answer{refusal: e.refusal}, false
	case !e.usable(now):
		return answer{}, false
	}
	if due = e.ending(now) && now.Sub(e.tried) >= renewAfter; due {
		e.tried = now
	}
	return answer{token: e.token}, due
}

// landed returns what makes asking needless, now that q has its turn.
func (m *memory) landed(q query, now time.Time) answer {
	if q.again {
		return m.replaced(q, now)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch e := m.get(q.key); {
	case e == nil:
		return answer{}
	case now.Before(e.until):
		return answer{refusal: e.refusal}
	case e.usable(now) && !e.ending(now):
		return answer{token: e.token}
	}
	return answer{}
}

// replaced returns what another caller has already got in place of the token that
// was refused, or why there is nothing to get. Else it forgets that token.
func (m *memory) replaced(q query, now time.Time) answer {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.get(q.user); e != nil && e.usable(now) {
		same, asked := e.token == q.refused, q.claims == "" || q.claims == e.claims
		switch {
		case !same && asked:
			return answer{token: e.token}
		case same && e.forced && asked && now.Sub(e.issued) < proven:
			return answer{refusal: &Refusal{Reason: Misconfigured, Detail: "the API refuses tokens that have just been issued: " +
				"check that the scope of on_behalf_of is one of this API"}}
		case same:
			m.drop(q.user)
		}
	}
	if e := m.get(q.key); e != nil && now.Before(e.until) {
		return answer{refusal: e.refusal}
	}
	return answer{}
}

// keep remembers a token that q was answered with. One that is too large, or ends
// too soon to be of use to the next, is not kept.
func (m *memory) keep(q query, token string, expires, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := &entry{key: q.user, token: token, expires: expires, issued: now, tried: now, forced: q.again, claims: q.claims}
	if len(token) > maxKept || !e.usable(now) {
		m.drop(q.user)
		return
	}
	m.put(e)
}

// refuse remembers that q was refused. A token that is still good stays if Entra
// could not be asked.
func (m *memory) refuse(q query, r *Refusal, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.get(q.key); r.Reason == Unavailable && e != nil && e.usable(now) {
		return
	}
	m.put(&entry{key: q.key, refusal: r, until: now.Add(r.remembered())})
}

// usable reports whether e is a token that may be sent.
func (e *entry) usable(now time.Time) bool { return e.token != "" && e.expires.Sub(now) >= useUntil }

// ending reports whether it is time to ask for another.
func (e *entry) ending(now time.Time) bool { return e.expires.Sub(now) < renewBefore }

func (m *memory) get(k key) *entry {
	at := m.of[k]
	if at == nil {
		return nil
	}
	m.order.MoveToFront(at)
	return at.Value.(*entry)
}

func (m *memory) put(e *entry) {
	m.drop(e.key)
	m.of[e.key] = m.order.PushFront(e)
	if m.order.Len() > maxEntries {
		m.drop(m.order.Back().Value.(*entry).key)
	}
}

func (m *memory) drop(k key) {
	if at := m.of[k]; at != nil {
		m.order.Remove(at)
		delete(m.of, k)
	}
}
