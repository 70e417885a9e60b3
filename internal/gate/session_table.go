package gate

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

// tenure is who has a session, and where it is.
type tenure struct {
	owner    owner
	upstream string // its URL, as configured
}

// sessions are those that upstreams have given. It is safe for concurrent use.
// Its methods fail where it is not known whose a session is; in memory they never
// do.
type sessions struct {
	mu              sync.Mutex
	known           map[sessionKey]*entry
	used            *list.List           // of *entry, the last used first
	owned           map[owner]*list.List // likewise, of each owner
	most, mostOwned int
}

type entry struct {
	key sessionKey
	tenure
	used     time.Time
	all, own *list.Element
}

func newSessions() *sessions {
	return &sessions{known: map[sessionKey]*entry{}, used: list.New(), owned: map[owner]*list.List{}, most: mostSessions, mostOwned: mostOwned}
}

// find returns who has the session, and notes that it is in use; false if it is
// not known.
func (s *sessions) find(_ context.Context, k sessionKey) (tenure, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	e := s.known[k]
	if e == nil {
		return tenure{}, false, nil
	}
	s.use(e)
	return e.tenure, true, nil
}

// bind notes t as who has the session, unless it is another owner's. It returns
// who has it then. What belongs to nobody becomes t's owner's.
func (s *sessions) bind(_ context.Context, k sessionKey, t tenure) (tenure, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	if e := s.known[k]; e != nil {
		if e.owner != t.owner && e.owner != (owner{}) {
			return e.tenure, nil
		}
		s.drop(e)
	}
	s.add(&entry{key: k, tenure: t})
	return t, nil
}

// forget removes the session.
func (s *sessions) forget(_ context.Context, k sessionKey) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.known[k]; e != nil {
		s.drop(e)
	}
	return nil
}

func (s *sessions) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	return len(s.known)
}

// The rest is called with the lock held.

func (s *sessions) add(e *entry) {
	own := s.owned[e.owner]
	if own == nil {
		own = list.New()
		s.owned[e.owner] = own
	}
	e.used, e.all, e.own = time.Now(), s.used.PushFront(e), own.PushFront(e)
	s.known[e.key] = e
	if own.Len() > s.mostOwned {
		s.drop(own.Back().Value.(*entry))
	}
	if len(s.known) > s.most {
		s.drop(s.used.Back().Value.(*entry))
	}
}

func (s *sessions) use(e *entry) {
	e.used = time.Now()
	s.used.MoveToFront(e.all)
	s.owned[e.owner].MoveToFront(e.own)
}

// expire drops what has been idle for too long.
func (s *sessions) expire() {
	for now := time.Now(); s.used.Len() > 0; {
		e := s.used.Back().Value.(*entry)
		if now.Sub(e.used) <= mostUnused {
			return
		}
		s.drop(e)
	}
}

func (s *sessions) drop(e *entry) {
	delete(s.known, e.key)
	s.used.Remove(e.all)
	own := s.owned[e.owner]
	if own.Remove(e.own); own.Len() == 0 {
		delete(s.owned, e.owner)
	}
}
