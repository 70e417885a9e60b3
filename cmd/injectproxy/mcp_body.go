package main

import (
	"context"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

const (
	mostGlimpse  = 1 << 20  // of one body
	mostGlimpses = 32 << 20 // of all bodies of a rule
)

// memory is what is left of a number of bytes.
type memory struct{ left atomic.Int64 }

func newMemory(n int64) *memory {
	m := new(memory)
	m.left.Store(n)
	return m
}

// take reports whether there were n bytes more to have.
func (m *memory) take(n int) bool {
	if m.left.Add(-int64(n)) >= 0 {
		return true
	}
	m.give(n)
	return false
}

func (m *memory) give(n int) { m.left.Add(int64(n)) }

// glimpse is a client's body that keeps a copy of what is read from it, as long
// as that is not too much, so that the whole can be had although some of it
// has gone upstream. It is closed for the client only once [glimpse.finish] was
// called: until then a Close says that the upstream wants no more of it.
//
// The methods of [io.ReadCloser] are for the layer below, the others for the
// one above. A nil *glimpse is a body that is not kept.
type glimpse struct {
	src    io.ReadCloser
	memory *memory
	turn   chan struct{} // holds one value while somebody reads src

	mu       sync.Mutex
	kept     []byte // its capacity is taken from memory
	lost     bool   // nothing is kept any more
	err      error  // what src ended with
	shut     bool   // the layer below reads no more
	closed   bool   // that layer has closed the body
	finished bool   // a Close is src's
}

func newGlimpse(src io.ReadCloser, m *memory) *glimpse {
	return &glimpse{src: src, memory: m, turn: make(chan struct{}, 1)}
}

// Read implements [io.Reader].
func (g *glimpse) Read(p []byte) (int, error) {
	g.turn <- struct{}{}
	defer func() { <-g.turn }()
	g.mu.Lock()
	shut := g.shut
	g.mu.Unlock()
	if shut {
		return 0, http.ErrBodyReadAfterClose
	}
	return g.read(p)
}

// read is called by who has the turn.
func (g *glimpse) read(p []byte) (int, error) {
	n, err := g.src.Read(p)
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		g.err = err
	}
	if !g.lost && !g.keep(p[:n]) {
		g.drop()
	}
	return n, err
}

// Close implements [io.Closer].
func (g *glimpse) Close() error {
	g.mu.Lock()
	first := !g.closed
	g.shut, g.closed = true, true
	finished := g.finished
	g.mu.Unlock()
	if first && finished {
		return g.src.Close()
	}
	return nil
}

// whole returns the body from its first byte to its last, nil if it is too
// long, has broken off or does not end before ctx does. From now on the layer
// below gets nothing.
func (g *glimpse) whole(ctx context.Context) []byte {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	g.shut = true
	g.mu.Unlock()
	// A read waits for the client, and the end of ctx does not end it. What does
	// is the end of the request, whose server waits for that.
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		g.rest(ctx)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.lost || g.err != io.EOF {
		return nil
	}
	return g.kept
}

// rest reads on until there is no more to read or to keep.
func (g *glimpse) rest(ctx context.Context) {
	select {
	case g.turn <- struct{}{}:
		defer func() { <-g.turn }()
	case <-ctx.Done():
		return
	}
	p := make([]byte, 4<<10)
	for {
		g.mu.Lock()
		over := g.lost || g.err != nil
		g.mu.Unlock()
		if over {
			return
		}
		g.read(p)
	}
}

// finish says that the copy is wanted no more. The client's body is closed when
// the layer below has closed it, which may wait for what the client has yet to
// send: a RoundTripper must not.
func (g *glimpse) finish() {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.drop()
	g.finished = true
	switch {
	case !g.closed:
	case g.err == io.EOF:
		g.src.Close()
	default:
		go g.src.Close()
	}
}

// The rest is called with mu held.

// keep adds to the copy, and reports whether there is room for it.
func (g *glimpse) keep(p []byte) bool {
	need := len(g.kept) + len(p)
	if need > mostGlimpse {
		return false
	}
	if have := cap(g.kept); need > have {
		// Most messages are one read: they get what they need.
		size := min(max(need, 2*have), mostGlimpse)
		if !g.memory.take(size - have) {
			return false
		}
		g.kept = append(make([]byte, 0, size), g.kept...)
	}
	g.kept = append(g.kept, p...)
	return true
}

func (g *glimpse) drop() {
	g.memory.give(cap(g.kept))
	g.kept, g.lost = nil, true
}
