package replay

import (
	"sync"
	"sync/atomic"
)

// chunkSize is what bodies are held in once they are large: two of the copies
// that net/http makes, so that little is read in small pieces.
const chunkSize = 64 << 10

// Budget bounds the memory in which request bodies are held for all routes
// that share it. It counts what is allocated, which for a body of undeclared
// length is up to one chunk of 64 KiB more than its bytes. It never waits: what
// does not fit is not held. A Budget is safe for concurrent use; a nil *Budget
// holds nothing.
type Budget struct {
	limit int64
	held  atomic.Int64
	spare sync.Pool // of *[chunkSize]byte
}

// NewBudget returns a Budget of limit bytes.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit} }

// Held returns how many bytes are held at the moment.
func (b *Budget) Held() int64 {
	if b == nil {
		return 0
	}
	return b.held.Load()
}

// take returns an empty chunk of the given capacity, or nil if it does not fit.
func (b *Budget) take(size int) []byte {
	if b == nil {
		return nil
	}
	if b.held.Add(int64(size)) > b.limit {
		b.held.Add(-int64(size))
		return nil
	}
	if size == chunkSize {
		if spare, ok := b.spare.Get().(*[chunkSize]byte); ok {
			return spare[:0]
		}
	}
	return make([]byte, 0, size)
}

// give takes a chunk back. Nobody may use it any more.
func (b *Budget) give(chunk []byte) {
	b.held.Add(-int64(cap(chunk)))
	if cap(chunk) == chunkSize {
		b.spare.Put((*[chunkSize]byte)(chunk[:chunkSize]))
	}
}

// writeOff stops counting a chunk that a read still writes to; the collector
// frees it when that read is done.
func (b *Budget) writeOff(chunk []byte) { b.held.Add(-int64(cap(chunk))) }
