package token

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// given is a source whose next outcome can be set.
type given struct {
	token Token
	err   error
	calls int
}

func (g *given) Token(context.Context, Ask) (Token, error) {
	g.calls++
	return g.token, g.err
}

func TestHeldTellsOfTokenAndTroubleAndAsksNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &given{err: &Error{Class: Misconfigured, Message: "no"}}
		c := NewCache(src, Options{})
		defer c.Close()
		if held, trouble := c.Held(); !held.IsZero() || trouble != nil || src.calls != 0 {
			t.Errorf("at first: %v, %v, %d calls", held, trouble, src.calls)
		}
		if _, err := c.Token(t.Context()); err == nil {
			t.Fatal("there is a token")
		}
		if held, trouble := c.Held(); !held.IsZero() || !errors.Is(trouble, src.err) {
			t.Errorf("after a failure: %v, %v", held, trouble)
		}
		c.Forget()
		want, err := New("t0ken", "s", time.Now().Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		src.token, src.err = want, nil
		if _, err := c.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		if held, trouble := c.Held(); !held.Equal(want) || trouble != nil {
			t.Errorf("with a token: %v, %v", held, trouble)
		}
		time.Sleep(2 * time.Hour)
		if held, _ := c.Held(); !held.IsZero() {
			t.Errorf("a token that has ended: %v", held)
		}
	})
}
