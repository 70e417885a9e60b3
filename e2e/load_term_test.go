package e2e_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestTermWithThousandsOfStreams: those that end while serve drains end well,
// those that do not are seen to be cut, and serve ends well.
func TestTermWithThousandsOfStreams(t *testing.T) {
	thorough(t)
	t.Parallel()
	const n = 2500
	l := newLoad(t, "8s")
	a := l.listen(n)
	defer a.leave()
	l.p.process.Signal(syscall.SIGTERM)
	l.poll("serve takes no more clients", func() bool {
		c, err := net.Dial("tcp", l.p.address)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	l.server("/end")
	var whole, cut atomic.Int64
	things := make([]func() error, len(a.lines))
	for i, lines := range a.lines {
		things[i] = func() error {
			text, err := io.ReadAll(lines)
			switch {
			case err == nil && strings.HasSuffix(string(text), "data: end\n\n"):
				whole.Add(1)
			case err != nil:
				cut.Add(1)
			default:
				return fmt.Errorf("a stream that did not end looks as if it had, behind %q", text)
			}
			return nil
		}
	}
	if err := calls(len(things), func(i int) error { return things[i]() }); err != nil {
		t.Error(err)
	}
	if whole.Load() != n/2 || cut.Load() != n/2 {
		t.Errorf("%d streams ended well and %d were cut, of %d", whole.Load(), cut.Load(), n)
	}
	// A signal that comes while it ends would count as the second one.
	l.poll("serve has ended", func() bool { return l.p.process.Signal(syscall.Signal(0)) != nil })
}

// poll returns once holds does.
func (l *load) poll(what string, holds func() bool) {
	l.t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for late := time.After(guardTime); !holds(); {
		select {
		case <-again.C:
		case <-late:
			l.t.Fatalf("it does not come to be that %s", what)
		}
	}
}
