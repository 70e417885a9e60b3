package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// mostAside is how many bytes wait for somebody to read them.
const mostAside = 256 << 10

// aside is a bridge's standard error. Clients open it as a pipe and many never
// read it: what is written there waits for nobody, and is lost when there is too
// much of it. How many lines that were is said once they are read again.
type aside struct {
	w io.Writer

	mu    sync.Mutex
	lines bytes.Buffer
	lost  int
	ended bool
	more  chan struct{} // holds one when there is something to be written
	done  chan struct{} // closed when all is written after the end
}

// newAside returns what writes to w, until it is closed.
func newAside(w io.Writer) *aside {
	a := &aside{w: w, more: make(chan struct{}, 1), done: make(chan struct{})}
	go a.run()
	return a
}

// Write implements [io.Writer]. It takes whole lines, and does not fail.
func (a *aside) Write(b []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lines.Len()+len(b) > mostAside {
		a.lost++
	} else {
		a.lines.Write(b)
	}
	a.wake()
	return len(b), nil
}

func (a *aside) wake() {
	select {
	case a.more <- struct{}{}:
	default:
	}
}

// run writes what there is until the end. A Write that does not return is left
// behind.
func (a *aside) run() {
	defer close(a.done)
	for range a.more {
		for b := a.next(); len(b) > 0; b = a.next() {
			if _, err := a.w.Write(b); err != nil {
				return // nobody is there to be told
			}
		}
		a.mu.Lock()
		ended := a.ended
		a.mu.Unlock()
		if ended {
			return
		}
	}
}

// next takes what is to be written.
func (a *aside) next() []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := bytes.Clone(a.lines.Bytes())
	a.lines.Reset()
	if a.lost > 0 {
		b = fmt.Appendf(b, "injectproxy: %d lines were lost here, as nobody read them in time\n", a.lost)
		a.lost = 0
	}
	return b
}

// close waits for what is left to be written, but no longer than limit.
func (a *aside) close(limit time.Duration) {
	a.mu.Lock()
	a.ended = true
	a.wake()
	a.mu.Unlock()
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case <-a.done:
	case <-late.C:
	}
}

// told tells of err as any command would, and returns what has its status alone.
func (a *aside) told(err error) error {
	if err == nil {
		return nil
	}
	f, ok := errors.AsType[*failure](err)
	if !ok {
		f = &failure{status: exitFailed}
	}
	printError(a, err, f.hint)
	return &failure{status: f.status}
}
