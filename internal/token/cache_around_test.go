package token

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

type aroundKey struct{}

// Around is called before the source, which has its context, and told what came
// of it after that was settled; it sees the values of who had it begin, and
// what is asked for. What needs no source is none of its business.
func TestAroundIsToldOfEachAcquisition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var seen []string
		say := func(format string, args ...any) {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, fmt.Sprintf(format, args...))
		}
		n := 0
		c := NewCache(sourceFunc(func(ctx context.Context, ask Ask) (Token, error) {
			say("source %v", ctx.Value(aroundKey{}))
			switch n++; n {
			case 3:
				return New("value-2", "test", time.Time{})
			case 4:
				panic("broken")
			case 5:
				return Token{}, &Error{Class: SignIn}
			}
			return New(fmt.Sprintf("value-%d", n), "test", time.Now().Add(time.Hour))
		}), Options{Margin: 5 * time.Minute, Around: func(ctx, asker context.Context, ask Ask) (context.Context, func(Token, error)) {
			by := asker.Value(aroundKey{})
			say("asked by %v quiet %v replacing %v", by, ask.Quiet, ask.Rejected.Reveal())
			if ctx.Value(aroundKey{}) != nil {
				t.Error("the acquisition has the asker's context")
			}
			return context.WithValue(ctx, aroundKey{}, fmt.Sprint("flight of ", by)), func(got Token, err error) {
				e, _ := errors.AsType[*Error](err)
				say("told %v %v same %v", got.Reveal(), e != nil, errors.Is(err, ErrSame))
			}
		}})
		defer c.Close()
		as := func(name string) context.Context { return context.WithValue(t.Context(), aroundKey{}, name) }
		gone, leave := context.WithCancel(as("second"))

		first, _ := c.Token(as("first"))
		c.Token(as("nobody")) // it is there
		time.Sleep(56 * time.Minute)
		c.Token(gone) // has it refreshed, and goes
		leave()
		synctest.Wait()
		second, _ := c.Token(t.Context())
		c.Replace(as("third"), first, "") // there is another already
		c.Replace(as("fourth"), second, "")
		c.Replace(as("fifth"), second, "{}")
		c.Replace(as("sixth"), second, `{"a":1}`)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		want := []string{
			"asked by first quiet false replacing ", "source flight of first", "told value-1 false same false",
			"asked by second quiet true replacing ", "source flight of second", "told value-2 false same false",
			"asked by fourth quiet false replacing value-2", "source flight of fourth", "told  true same true",
			"asked by fifth quiet false replacing value-2", "source flight of fifth", "told  true same false",
			"asked by sixth quiet false replacing value-2", "source flight of sixth", "told  true same false",
		}
		if !slices.Equal(seen, want) {
			t.Errorf("got\n%q, want\n%q", seen, want)
		}
	})
}
