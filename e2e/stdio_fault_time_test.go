package e2e_test

import (
	"slices"
	"testing"
)

// TestStdioToolThatHangsIsGivenUp: at the limit the call is answered by an error
// and the server told which one it may leave. The next calls work.
func TestStdioToolThatHangsIsGivenUp(t *testing.T) {
	t.Parallel()
	f, b := newBridged(t, "--tool-timeout", "1s")
	b.initialize()
	b.send(toolLine("hangs", "hang"))
	b.wantError("hangs")
	f.until("the server is told", func() bool { return slices.Equal(f.cancelled, []string{`"hangs"`}) })
	b.ask("after")
	if n := f.times("hangs"); n != 1 {
		t.Errorf("the call was carried out %d times", n)
	}
	wantOneSession(t, f)
}

// TestStdioProgressKeepsACallAlive: of two calls that take longer than the limit
// the one that tells of its progress is waited for, though it began first.
func TestStdioProgressKeepsACallAlive(t *testing.T) {
	t.Parallel()
	f, b := newBridged(t, "--tool-timeout", "3s")
	b.initialize()
	b.send(toolLine("goes on", "steps"))
	f.until("the first call is under way", func() bool { return f.executed["goes on"] == 1 })
	b.send(toolLine("hangs", "hang"))
	b.wantError("hangs")
	f.release("goes on")
	b.wantEcho("goes on")
	f.until("the server is told of the other", func() bool { return slices.Equal(f.cancelled, []string{`"hangs"`}) })
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.told("notifications/progress") == 0 {
		t.Error("no progress was told")
	}
}

// TestStdioCancelledCallIsLeft: a call and the client's cancellation of it both
// reach the server, and the call is not answered.
func TestStdioCancelledCallIsLeft(t *testing.T) {
	t.Parallel()
	f, b := newBridged(t)
	b.initialize()
	b.send(toolLine("hangs", "hang"), `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"hangs","reason":"enough"}}`)
	f.until("the server is told", func() bool { return slices.Equal(f.cancelled, []string{`"hangs"`}) && f.executed["hangs"] == 1 })
	b.ask("after")
	f.until("the bridge closed the request", func() bool { return f.left["hangs"] == 1 })
	b.mu.Lock()
	defer b.mu.Unlock()
	if a := b.answers[`"hangs"`]; len(a) > 0 {
		t.Errorf("the client got an answer that it did not want: %+v", a)
	}
}
