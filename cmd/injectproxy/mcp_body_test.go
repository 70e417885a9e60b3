package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

// clientBody is a body whose Close is noticed.
type clientBody struct {
	io.Reader
	closed chan struct{}
}

func newClientBody(r io.Reader) *clientBody { return &clientBody{r, make(chan struct{})} }

func (b *clientBody) Close() error { close(b.closed); return nil } // panics the second time

func (b *clientBody) isClosed() bool {
	select {
	case <-b.closed:
		return true
	default:
		return false
	}
}

// wantFinished holds what is true of a glimpse at its end.
func wantFinished(t *testing.T, g *glimpse, src *clientBody, room int64) {
	t.Helper()
	g.finish()
	g.Close()
	<-src.closed
	if left := g.memory.left.Load(); left != room {
		t.Errorf("%d bytes are not given back", room-left)
	}
}

func TestGlimpseHasTheWholeOfWhatWasReadInPart(t *testing.T) {
	t.Parallel()
	const text = "what the client sends, from the first byte to the last"
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"at once": func(r io.Reader) io.Reader { return r }, "bytewise": iotest.OneByteReader, "the end with the last": iotest.DataErrReader,
	} {
		for n := range len(text) + 2 {
			for _, closed := range []bool{true, false} {
				src := newClientBody(wrap(strings.NewReader(text)))
				g := newGlimpse(src, newMemory(200))
				io.CopyN(io.Discard, g, int64(n))
				if closed {
					g.Close()
				}
				if src.isClosed() {
					t.Fatalf("%s: the client's body is closed before it is known whether it is wanted", name)
				}
				if got := string(g.whole(t.Context())); got != text {
					t.Errorf("%s: %q after %d bytes", name, got, n)
				}
				if n, err := g.Read(make([]byte, 10)); n != 0 || !errors.Is(err, http.ErrBodyReadAfterClose) {
					t.Errorf("%s: the layer below still reads: %d, %v", name, n, err)
				}
				wantFinished(t, g, src, 200)
			}
		}
	}
}

func TestGlimpseHasNothingOfWhatIsNotWhole(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, tt := range map[string]struct {
		r    io.Reader
		room int64
	}{
		"broken":             {io.MultiReader(strings.NewReader("x"), iotest.ErrReader(broken)), 100},
		"too long":           {io.LimitReader(endless{}, mostGlimpse+1), 2 * mostGlimpse},
		"endless":            {endless{}, 2 * mostGlimpse},
		"more than there is": {strings.NewReader(strings.Repeat("x", 101)), 100},
	} {
		for _, n := range []int64{0, 1, 1000} {
			src := newClientBody(tt.r)
			g := newGlimpse(src, newMemory(tt.room))
			io.CopyN(io.Discard, g, n)
			if got := g.whole(t.Context()); got != nil {
				t.Errorf("%s: %d bytes", name, len(got))
			}
			wantFinished(t, g, src, tt.room)
		}
	}
}

// endless is a reader of x without end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// What passes is not touched, not held, and not kept beyond the limit.
func TestGlimpseLetsAllPass(t *testing.T) {
	t.Parallel()
	src := newClientBody(io.LimitReader(endless{}, 3*mostGlimpse))
	g := newGlimpse(src, newMemory(mostGlimpse))
	n, err := io.CopyN(io.Discard, g, mostGlimpse)
	if left := g.memory.left.Load(); n != mostGlimpse || err != nil || left != 0 {
		t.Errorf("%d bytes, %v, room for %d left", n, err, left)
	}
	n, err = io.Copy(io.Discard, g)
	if left := g.memory.left.Load(); n != 2*mostGlimpse || err != nil || left != mostGlimpse {
		t.Errorf("%d bytes, %v, room for %d left", n, err, left)
	}
	wantFinished(t, g, src, mostGlimpse)
}

// A body goes on after its answer has come: it is a stream.
func TestGlimpseIsOverWhenNothingIsToBeExplained(t *testing.T) {
	t.Parallel()
	src := newClientBody(strings.NewReader("one and two"))
	g := newGlimpse(src, newMemory(100))
	io.CopyN(io.Discard, g, 3)
	g.finish()
	if left := g.memory.left.Load(); left != 100 || src.isClosed() {
		t.Errorf("room for %d, closed %v", left, src.isClosed())
	}
	if rest, err := io.ReadAll(g); err != nil || string(rest) != " and two" {
		t.Errorf("%q, %v", rest, err)
	}
	if left := g.memory.left.Load(); left != 100 {
		t.Errorf("something is kept: room for %d", left)
	}
	wantFinished(t, g, src, 100)
}

func TestGlimpseWaitsNoLongerThanItsContext(t *testing.T) {
	t.Parallel()
	for name, reader := range map[string]bool{"nobody reads": false, "the layer below reads": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, w := io.Pipe()
				src := newClientBody(r)
				g := newGlimpse(src, newMemory(100))
				var below sync.WaitGroup
				if reader {
					below.Go(func() { io.Copy(io.Discard, g) })
					synctest.Wait()
				}
				ctx, cancel := context.WithTimeout(t.Context(), restLimit)
				defer cancel()
				began := time.Now()
				if got := g.whole(ctx); got != nil || time.Since(began) != restLimit {
					t.Errorf("%q after %v", got, time.Since(began))
				}
				g.Close()
				g.finish()
				io.WriteString(w, "too late") // and whoever waited is done
				below.Wait()
				<-src.closed
				if left := g.memory.left.Load(); left != 100 {
					t.Errorf("room for %d", left)
				}
			})
		})
	}
}

// What the layer below was waiting for belongs to the whole.
func TestGlimpseTakesOverAReadThatIsUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		src := newClientBody(r)
		g := newGlimpse(src, newMemory(100))
		var below sync.WaitGroup
		below.Go(func() { io.Copy(io.Discard, g) })
		io.WriteString(w, "one")
		synctest.Wait()
		whole := make(chan string)
		go func() { whole <- string(g.whole(t.Context())) }()
		synctest.Wait()
		io.WriteString(w, " and two")
		w.Close()
		if got := <-whole; got != "one and two" {
			t.Errorf("%q", got)
		}
		below.Wait()
		wantFinished(t, g, src, 100)
	})
}

func TestNoBodyIsNoGlimpse(t *testing.T) {
	t.Parallel()
	var g *glimpse
	if got := g.whole(t.Context()); got != nil {
		t.Errorf("%q", got)
	}
	g.finish()
}
