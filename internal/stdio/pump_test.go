package stdio

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
)

func TestNothingIsSentBeforeInitializeIsAnswered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		answer, taken := make(chan struct{}), make(chan struct{})
		f := &fake{
			asking: func(ctx context.Context, f *fake, c *call) error {
				c.left()
				if c.Method != "initialize" {
					return f.answer(c)
				}
				<-answer
				err := f.answer(c)
				<-ctx.Done() // it may take its time to end
				return err
			},
			telling: func(ctx context.Context, f *fake, m message) error {
				if m.Method == "notifications/initialized" {
					<-taken
				}
				return nil
			},
		}
		c := bridged(t, f, Options{})
		c.say(begin, saidBegun, ask("1", "a"), `{"jsonrpc":"2.0","method":"n"}`, ask("2", "b"))
		saw := func(when string, want ...string) {
			t.Helper()
			synctest.Wait()
			got := f.saw()
			if slices.Sort(got); !slices.Equal(got, want) {
				t.Errorf("%s the server saw %q, want %q", when, got, want)
			}
		}
		saw("before the answer", "initialize")
		close(answer)
		c.hears(begun)
		saw("before the barrier", "initialize", "notifications/initialized")
		close(taken)
		got := []string{c.hear(), c.hear()}
		if slices.Sort(got); !slices.Equal(got, []string{did("1", "a"), did("2", "b")}) {
			t.Errorf("%q", got)
		}
		saw("in the end", "(listen)", "a", "b", "initialize", "n", "notifications/initialized")
		if rest, err := c.end(); len(rest) > 0 || err != nil || f.ends != 1 {
			t.Errorf("%q, %v, %d ends", rest, err, f.ends)
		}
	})
}
