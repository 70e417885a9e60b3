package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// child is an MCP server that speaks stdio, in a process of its own: the bridge,
// or what a front is tried with.
type child struct {
	cmd     *exec.Cmd
	kill    func()
	in      io.WriteCloser
	writing sync.Mutex
	errs    bytes.Buffer  // complete once it has ended
	ended   chan struct{} // closed then
	err     error         // how, then

	unasked *asker
	mu      sync.Mutex
	waiting []*asker // those who asked, in that order
}

// child starts a program that speaks stdio.
func (c client) child(t *testing.T, name string, args ...string) *child {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ch := &child{cmd: c.command(ctx, name, args...), kill: cancel, ended: make(chan struct{}), unasked: newAsker(frame{})}
	ch.cmd.Stderr = &ch.errs
	in, err := ch.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := ch.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := ch.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ch.in = in
	go func() {
		defer close(ch.ended)
		ch.read(t, out)
		ch.err = ch.cmd.Wait()
		ch.gone()
	}()
	return ch
}

// end closes the child's stdin and wants it to end well.
func (c *child) end(t *testing.T) {
	c.in.Close()
	select {
	case <-c.ended:
	case <-time.After(guardTime):
		t.Error("the child did not end with its stdin")
	}
	c.kill()
	<-c.ended
	if c.err != nil {
		t.Errorf("the child ended with %v, want status 0", c.err)
	}
	if t.Failed() && c.errs.Len() > 0 {
		t.Logf("the child wrote:\n%s", c.errs.Bytes())
	}
}

// read passes on what the child says. Each line is a message: anything else
// ends the test badly.
func (c *child) read(t *testing.T, out io.Reader) {
	for r := bufio.NewReader(out); ; {
		line, err := r.ReadBytes('\n')
		if err != nil {
			if len(line) > 0 {
				t.Errorf("the child ended within a line: %.200q", line)
			}
			return
		}
		var m frame
		if err := json.Unmarshal(line, &m); err != nil {
			t.Errorf("the child said %.200q: %v", line, err)
			continue
		}
		c.pass(m, line[:len(line)-1])
	}
}

// pass gives a message to whom it belongs.
func (c *child) pass(m frame, line []byte) {
	c.mu.Lock()
	e := c.whose(m)
	if m.Method == "" && e != nil {
		c.waiting = slices.DeleteFunc(c.waiting, func(w *asker) bool { return w == e })
	}
	c.mu.Unlock()
	if e == nil {
		return
	}
	e.messages <- line
	if m.Method == "" {
		close(e.messages)
	}
}

// whose returns who has to get a message: who asked for it by id, progress token
// or subscription, or else who asked last. Without anybody it is unasked.
func (c *child) whose(m frame) *asker {
	meta := m.Params.Meta
	if m.Method == "" {
		return c.last(func(e *asker) bool { return bytes.Equal(e.ID, m.ID) })
	}
	if meta.SubscriptionID != nil {
		return c.last(func(e *asker) bool { return bytes.Equal(e.ID, meta.SubscriptionID) })
	}
	if token := m.Params.ProgressToken; token != nil {
		return c.last(func(e *asker) bool { return bytes.Equal(e.Params.Meta.ProgressToken, token) })
	}
	if e := c.last(func(e *asker) bool { return !strings.HasSuffix(e.Method, "/listen") }); e != nil && m.ofARequest() {
		return e
	}
	return c.unasked
}

// ofARequest tells whether m is sent for somebody's request, as a rule.
func (m frame) ofARequest() bool { return m.request() || m.Method == "notifications/message" }

func (c *child) last(is func(*asker) bool) *asker {
	for _, e := range slices.Backward(c.waiting) {
		if is(e) {
			return e
		}
	}
	return nil
}

// await notes that somebody is about to ask.
func (c *child) await(m frame) *asker {
	e := newAsker(m)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = append(c.waiting, e)
	return e
}

func newAsker(m frame) *asker { return &asker{frame: m, messages: make(chan []byte, 1000)} }

// forget lets what still comes for e fall.
func (c *child) forget(e *asker) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = slices.DeleteFunc(c.waiting, func(w *asker) bool { return w == e })
}

// gone tells those who wait that nothing comes any more.
func (c *child) gone() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range append(c.waiting, c.unasked) {
		close(e.messages)
	}
	c.waiting = nil
}
