package main

import (
	"bytes"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

func TestLineOfProgressStaysBelowWhatIsWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var screen bytes.Buffer
		p := &progress{w: &screen}
		wrote := func(want string) {
			t.Helper()
			synctest.Wait()
			p.mu.Lock()
			defer p.mu.Unlock()
			if got := screen.String(); got != want {
				t.Errorf("wrote %q, want %q", got, want)
			}
			screen.Reset()
		}
		quick, slow := p.wait("quick"), p.wait("slow")
		time.Sleep(patience - 1)
		quick()
		wrote("")
		io.WriteString(p, "before\n")
		wrote("before\n")
		time.Sleep(time.Nanosecond)
		wrote("\r\x1b[Kslow (1 s)")
		io.WriteString(p, "log\n")
		wrote("\r\x1b[Klog\n\r\x1b[Kslow (1 s)")
		other := p.wait("other")
		time.Sleep(time.Second - 1)
		wrote("")
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		p.mu.Lock()
		if got := p.line(); got != "other (1 s)" { // the latest
			t.Errorf("the line is %q", got)
		}
		screen.Reset()
		p.mu.Unlock()
		other()
		wrote("\r\x1b[Kslow (2 s)")
		slow()
		wrote("\r\x1b[K")
		time.Sleep(time.Minute)
		wrote("")
	})
}

func TestNoProgressCanBeTold(t *testing.T) {
	t.Parallel()
	var p *progress
	var screen bytes.Buffer
	p.wait("x")()
	p.count(1, 2)
	if p.over(&screen) != io.Writer(&screen) || screen.Len() > 0 {
		t.Error("there is progress where there is none")
	}
}
