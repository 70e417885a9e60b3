package token

import (
	"sync/atomic"
	"testing"
)

// shelf is an issuer that can tell that it has something new.
type shelf struct {
	*issuer
	changed atomic.Bool
}

func (s *shelf) Changed() bool { return s.changed.Load() }

func TestWatchedSourceIsAskedAgainOnlyWhenItChanged(t *testing.T) {
	src := &shelf{issuer: newIssuer(0)}
	c := NewCache(src, Options{})
	defer c.Close()
	want := func(value string) {
		t.Helper()
		got, err := c.Token(t.Context())
		if err != nil || got.Reveal() != value {
			t.Fatalf("token %q, error %v, want %q", got.Reveal(), err, value)
		}
	}
	want("value-1")
	want("value-1")
	src.changed.Store(true)
	want("value-2")
	src.changed.Store(false)
	want("value-2")
	src.changed.Store(true)
	src.mu.Lock()
	src.down = &Error{Class: Misconfigured}
	src.mu.Unlock()
	want("value-2") // nothing better is to be had
}
