package stdio

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func withdrawn(id string) string {
	return `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":` + id + `,"reason":"no need"}}`
}

func TestCancellationGoesToTheServerAndTheRequestIsClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var closed time.Duration
		start := time.Now()
		f := &fake{asking: func(ctx context.Context, f *fake, c *call) error {
			err := hangs(ctx, f, c)
			closed = time.Since(start)
			return err
		}}
		c := bridged(t, f, Options{})
		c.say(ask("1", "m"), withdrawn("1.0"))
		synctest.Wait()
		if got := f.raw; !slices.Equal(got, []string{ask("1", "m"), withdrawn("1.0")}) {
			t.Errorf("the server saw %q", got)
		}
		time.Sleep(lastGrace)
		synctest.Wait()
		if closed != lastGrace || f.under(0) != 0 {
			t.Errorf("closed after %s", closed)
		}
		c.say(ask("1", "again")) // the id is free
		synctest.Wait()
		if rest, err := c.end(); err != nil || len(rest) != 1 || !strings.Contains(rest[0], errEnding.line) {
			t.Errorf("the client was told %q, %v", rest, err)
		}
	})
}

func TestCancellationWaitsUntilTheRequestHasLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		leave := make(chan struct{})
		f := &fake{asking: func(ctx context.Context, f *fake, c *call) error {
			<-leave
			return hangs(ctx, f, c)
		}}
		c := bridged(t, f, Options{})
		c.say(ask("1", "m"), withdrawn("1"), `{"jsonrpc":"2.0","method":"n"}`)
		synctest.Wait()
		if got := sorted(f.saw()); !slices.Equal(got, []string{"m", "n"}) { // which needs no other
			t.Errorf("the server saw %q", got)
		}
		close(leave)
		synctest.Wait()
		if got := f.saw(); len(got) != 3 || got[2] != "notifications/cancelled" {
			t.Errorf("the server saw %q", got)
		}
	})
}

func TestCancellationKeepsItsPlaceAmongNotifications(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{asking: hangs}
		c := bridged(t, f, Options{})
		var want []string
		for id := range 30 {
			c.say(ask(strconv.Itoa(id), "m"))
			want = append(want, "m")
		}
		synctest.Wait()
		for id := range 30 {
			c.say(withdrawn(strconv.Itoa(id)), `{"jsonrpc":"2.0","method":"n"}`)
			want = append(want, "notifications/cancelled", "n")
		}
		synctest.Wait()
		if got := f.saw(); !slices.Equal(got, want) {
			t.Errorf("the server saw %q", got)
		}
	})
}

func TestRequestThatDoesNotLeaveIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{asking: func(ctx context.Context, _ *fake, _ *call) error { <-ctx.Done(); return ctx.Err() }}
		c := bridged(t, f, Options{})
		c.say(ask("1", "m"), withdrawn("1"))
		time.Sleep(lastGrace)
		synctest.Wait()
		if f.under(0) != 0 {
			t.Error("the request is still under way")
		}
		if rest, err := c.end(); err != nil || len(rest) > 0 {
			t.Errorf("the client was told %q, %v", rest, err)
		}
	})
}

func TestResponseThatCrossesACancellationIsPassedOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{asking: func(_ context.Context, f *fake, c *call) error {
			c.left()
			time.Sleep(lastGrace / 2)
			return f.answer(c)
		}}
		c := bridged(t, f, Options{})
		c.say(ask("1", "m"), withdrawn("1"))
		c.hears(did("1", "m"))
	})
}

func TestFailureOfAWithdrawnRequestIsNotTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{asking: func(_ context.Context, f *fake, c *call) error {
			c.left()
			time.Sleep(lastGrace / 2)
			return errors.New("lost")
		}}
		c := bridged(t, f, Options{})
		c.say(ask("1", "m"), withdrawn("1"))
		time.Sleep(lastGrace)
		if rest, err := c.end(); err != nil || len(rest) > 0 {
			t.Errorf("the client was told %q, %v", rest, err)
		}
	})
}

func TestModernRequestIsCancelledByClosing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{asking: hangs}
		c := bridged(t, f, Options{})
		for _, say := range []string{modern, strings.Replace(modern, "_meta", `\u005fmeta`, 1)} {
			c.say(say)
			synctest.Wait()
			c.say(withdrawn("1"))
			synctest.Wait()
		}
		if got := f.saw(); len(got) != 2 || f.under(0) != 0 {
			t.Errorf("the server saw %q, %d under way", got, f.under(0))
		}
		if rest, err := c.end(); err != nil || len(rest) > 0 {
			t.Errorf("the client was told %q, %v", rest, err)
		}
	})
}

func TestRequestAfterInitializeIsNotModern(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{asking: func(ctx context.Context, f *fake, c *call) error {
			if c.Method == "initialize" {
				return f.answer(c)
			}
			return hangs(ctx, f, c)
		}}
		c := bridged(t, f, Options{})
		c.say(begin)
		c.hears(begun)
		c.say(modern, withdrawn("1"))
		synctest.Wait()
		if got := f.saw(); len(got) != 3 || f.under(0) != 1 {
			t.Errorf("the server saw %q, %d under way", got, f.under(0))
		}
	})
}

func TestInitializeThatIsWithdrawnLetsTheOthersGo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{asking: func(ctx context.Context, f *fake, c *call) error {
			if c.Method == "initialize" {
				return hangs(ctx, f, c)
			}
			return f.answer(c)
		}}
		c := bridged(t, f, Options{})
		c.say(begin)
		synctest.Wait()
		c.say(ask("1", "m"), withdrawn("0"))
		c.hears(did("1", "m"))
		if got := f.saw(); !slices.Equal(got, []string{"initialize", "m"}) {
			t.Errorf("the server saw %q", got)
		}
	})
}
