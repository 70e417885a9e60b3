package gate

import (
	"sync"

	"github.com/injectproxy/injectproxy/internal/binding"
)

// A message that is judged is in memory from its first byte until its request is
// over. Of what all of them hold nobody gets more than a share, and those without a
// token have one together: whoever sends bodies that never end stands in the way
// of themselves alone.
const (
	leastShare = 64 << 20
	shares     = 4
)

// budget bounds the bytes of bodies that are held at once.
type budget struct {
	share, total int64

	mu   sync.Mutex
	held int64
	by   map[binding.Owner]int64
}

// newBudget returns one in which a body of the largest size finds room twice in a
// share.
func newBudget(limit int64) *budget {
	share := max(leastShare, 2*(limit+1))
	return &budget{share: share, total: shares * share, by: make(map[binding.Owner]int64)}
}

// take counts n more bytes as held for who. It is false, and counts nothing, if
// that would be too much.
func (b *budget) take(who binding.Owner, n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.by[who]+n > b.share || b.held+n > b.total {
		return false
	}
	b.by[who] += n
	b.held += n
	return true
}

func (b *budget) give(who binding.Owner, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held -= n
	if b.by[who] -= n; b.by[who] == 0 {
		delete(b.by, who)
	}
}

// hold is what one request has of the budget.
type hold struct {
	who binding.Owner
	n   int64
}

// hold takes n bytes more for the request.
func (g *Gate) hold(x *exchange, n int64) bool {
	if x.held.n == 0 {
		x.held.who = ownerOf(x.caller)
	}
	if !g.bodies.take(x.held.who, n) {
		return false
	}
	x.held.n += n
	return true
}

// letGo ends what the request holds.
func (g *Gate) letGo(x *exchange) {
	if x.held.n > 0 {
		g.bodies.give(x.held.who, x.held.n)
		x.held.n = 0
	}
}
