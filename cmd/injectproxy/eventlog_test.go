package main

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"
)

// eventLog is a log that can be waited for.
type eventLog struct {
	mu      sync.Mutex
	b       bytes.Buffer
	changed chan struct{} // closed by the next write; nil if nobody waits
}

// Write implements [io.Writer].
func (l *eventLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
	return l.b.Write(p)
}

// String returns all of the log.
func (l *eventLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// wait returns the first line that has all parts.
func (l *eventLog) wait(t testing.TB, parts ...string) (line string) {
	t.Helper()
	l.until(t, func(text string) bool {
		line = lineWith(text, parts...)
		return line != ""
	}, "all of", parts)
	return line
}

// until returns once holds does of the log.
func (l *eventLog) until(t testing.TB, holds func(text string) bool, what string, parts []string) {
	t.Helper()
	late := time.NewTimer(guard)
	defer late.Stop()
	for {
		l.mu.Lock()
		text := l.b.String()
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		if holds(text) {
			return
		}
		select {
		case <-changed:
		case <-late.C:
			t.Fatalf("the log has no line with %s %q:\n%s", what, parts, text)
		}
	}
}

// lineWith returns the first whole line of text that has all parts, or "".
func lineWith(text string, parts ...string) string {
lines:
	for line := range strings.Lines(text) {
		for _, p := range parts {
			if !strings.Contains(line, p) || !strings.HasSuffix(line, "\n") {
				continue lines
			}
		}
		return line
	}
	return ""
}

// waitAny returns the first line that has one of the parts.
func (l *eventLog) waitAny(t testing.TB, parts ...string) string {
	t.Helper()
	var line string
	l.until(t, func(text string) bool {
		for _, p := range parts {
			if line = lineWith(text, p); line != "" {
				return true
			}
		}
		return false
	}, "any of", parts)
	return line
}
