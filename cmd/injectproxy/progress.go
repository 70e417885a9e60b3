package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/injectproxy/injectproxy/internal/token"
)

// patience is how long a person waits without being told for what.
const patience = time.Second

// progress tells on a terminal what takes its time, on one line that is gone
// when it is over. What else goes to that terminal is written through it, and
// lands above the line. The nil progress tells nothing. It is safe for
// concurrent use.
type progress struct {
	w      io.Writer
	mu     sync.Mutex
	counts string  // of doctor's checks, while they run
	waits  []*wait // for longer than patience, the latest last
}

// wait is something that is being waited for.
type wait struct {
	what    string
	seconds int
	timer   *time.Timer
	ended   bool
}

// newProgress returns the progress for w, nil where that is no terminal, or
// one that cannot erase a line.
func newProgress(w io.Writer) *progress {
	if !isTerminal(w) || os.Getenv("TERM") == "dumb" {
		return nil
	}
	return &progress{w: w}
}

// over returns what w is to be written through.
func (p *progress) over(w io.Writer) io.Writer {
	if p == nil {
		return w
	}
	return p
}

// Write implements [io.Writer]: the line makes room and comes back.
func (p *progress) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.line() == "" {
		return p.w.Write(b)
	}
	p.erase()
	n, err := p.w.Write(b)
	if len(b) > 0 && b[len(b)-1] == '\n' { // else it would be erased with the line
		p.draw()
	}
	return n, err
}

// wait tells what is waited for, should that take longer than patience, until
// end is called.
func (p *progress) wait(what string) (end func()) {
	if p == nil {
		return func() {}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	w := &wait{what: what}
	w.timer = time.AfterFunc(patience, func() { p.tick(w) })
	return func() { p.stop(w) }
}

// tick tells that another second has passed.
func (p *progress) tick(w *wait) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.ended {
		return
	}
	if w.seconds++; w.seconds == 1 {
		p.waits = append(p.waits, w)
	}
	p.draw()
	w.timer.Reset(time.Second)
}

func (p *progress) stop(w *wait) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.ended = true
	w.timer.Stop()
	if i := slices.Index(p.waits, w); i >= 0 {
		p.waits = slices.Delete(p.waits, i, i+1)
		p.draw()
	}
}

// count tells how many checks are done, at once; none if of is 0.
func (p *progress) count(done, of int) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts = ""
	if of > 0 {
		p.counts = fmt.Sprintf("%d of %d checks done", done, of)
	}
	p.draw()
}

func (p *progress) line() string {
	if n := len(p.waits); n > 0 {
		return fmt.Sprintf("%s (%d s)", p.waits[n-1].what, p.waits[n-1].seconds)
	}
	return p.counts
}

func (p *progress) erase() { io.WriteString(p.w, "\r\x1b[K") }

func (p *progress) draw() { io.WriteString(p.w, "\r\x1b[K"+p.line()) }

// awaited is a source whose calls show on progress, but for those that nobody
// waits for.
type awaited struct {
	token.Source
	progress *progress
	what     string
}

// Token implements [token.Source].
func (s awaited) Token(ctx context.Context, ask token.Ask) (token.Token, error) {
	if !ask.Quiet {
		defer s.progress.wait(s.what)()
	}
	return s.Source.Token(ctx, ask)
}

// waitingFor returns what is told while somebody waits for a token.
func waitingFor(audience string) string { return "audience " + audience + ": waiting for a token" }

// withProgress returns src with its calls on p. A source that is watched is at hand,
// as a file is, and stays as it is.
func withProgress(src token.Source, p *progress, audience string) token.Source {
	if _, ok := src.(token.Watched); ok || p == nil {
		return src
	}
	return awaited{src, p, waitingFor(audience)}
}
