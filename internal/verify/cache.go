package verify

import (
	"container/list"
	"crypto/sha256"
	"sync"
	"time"
)

// maxCached is how many valid tokens are remembered.
const maxCached = 10_000

// cache remembers tokens that were found valid, by their hash: no token is kept.
// Nobody fills it without having that many valid tokens.
type cache struct {
	mu      sync.Mutex
	entries map[[sha256.Size]byte]*list.Element
	byAge   *list.List // of *entry, the oldest first
}

// entry is a token that is valid for as long as it has not expired and its
// tenant publishes the key.
type entry struct {
	sum    [sha256.Size]byte
	caller *Caller
	ring   *ring
	kid    string
	key    *publicKey
}

func newCache() *cache {
	return &cache{entries: make(map[[sha256.Size]byte]*list.Element), byAge: list.New()}
}

// get returns whom the token with that hash speaks for, or nil. What is no
// longer valid is forgotten.
func (c *cache) get(sum [sha256.Size]byte, now time.Time) *Caller {
	c.mu.Lock()
	defer c.mu.Unlock()
	element, ok := c.entries[sum]
	if !ok {
		return nil
	}
	e := element.Value.(*entry)
	if e.ring.known(e.kid) != e.key || !now.Before(e.caller.Expires.Add(leeway)) {
		c.drop(element)
		return nil
	}
	return e.caller
}

// put remembers e under sum, in place of the oldest if there are too many.
func (c *cache) put(sum [sha256.Size]byte, e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if element, ok := c.entries[sum]; ok {
		c.drop(element)
	}
	if c.byAge.Len() >= maxCached {
		c.drop(c.byAge.Front())
	}
	e.sum = sum
	c.entries[sum] = c.byAge.PushBack(e)
}

// drop forgets an entry. The lock is held.
func (c *cache) drop(element *list.Element) {
	delete(c.entries, c.byAge.Remove(element).(*entry).sum)
}
