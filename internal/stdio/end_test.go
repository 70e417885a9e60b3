package stdio

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestEndOfInputEndsTheBridge(t *testing.T) {
	t.Parallel()
	wait := func(d time.Duration) func(context.Context, *fake, *call) error {
		return func(ctx context.Context, f *fake, c *call) error {
			c.left()
			select {
			case <-time.After(d):
				return f.answer(c)
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	ended := func(id string, f *failure) string {
		return string(errorFor(&call{message: messageWith(id)}, f))
	}
	for name, tt := range map[string]struct {
		say  []string
		ask  func(context.Context, *fake, *call) error
		want []string
		took time.Duration
	}{
		"nothing to do":        {},
		"in an instant":        {say: []string{ask("1", "m")}, want: []string{did("1", "m")}},
		"soon":                 {say: []string{ask("1", "m")}, ask: wait(lastAnswers - 1), want: []string{did("1", "m")}, took: lastAnswers - 1},
		"too late":             {say: []string{ask("1", "m")}, ask: wait(time.Hour), want: []string{ended("1", errEnding)}, took: lastAnswers},
		"held back":            {say: []string{begin, saidBegun, ask("1", "m")}, ask: wait(lastAnswers / 3), want: []string{begun, did("1", "m")}, took: lastAnswers / 3 * 2},
		"held back too long":   {say: []string{begin, saidBegun, ask("1", "m")}, ask: wait(time.Hour), want: []string{ended("0", errEnding), ended("1", errUnsent)}, took: lastAnswers},
		"withdrawn":            {say: []string{ask("1", "m"), withdrawn("1")}, ask: wait(time.Hour), took: lastAnswers},
		"without a line's end": {say: []string{strings.TrimSuffix(ask("1", "m"), "\n")}, want: []string{did("1", "m")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := &fake{asking: tt.ask}
				c := bridged(t, f, Options{ToolTimeout: time.Minute})
				c.say(tt.say...)
				start := time.Now()
				got, err := c.end()
				if slices.Sort(got); err != nil || !slices.Equal(got, sorted(tt.want)) || time.Since(start) != tt.took {
					t.Errorf("after %s %v: %q, want %q after %s", time.Since(start), err, got, tt.want, tt.took)
				}
				if f.ends != 1 {
					t.Errorf("%d ends", f.ends)
				}
			})
		})
	}
}

// A request that there was no room for waits for its turn to be told so, behind
// an initialize that may have no answer.
func TestRequestThatIsRefusedInTheQueueIsAnsweredAtTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{asking: func(ctx context.Context, f *fake, c *call) error {
			f.deliver([]byte(elicit), nil) // what the server waits for
			return hangs(ctx, f, c)
		}}
		c := bridged(t, f, Options{})
		synctest.Wait()
		c.b.in.calls.messages.TryAcquire(mostCalls - 1)
		c.say(begin)
		c.hears(elicit)
		c.say(ask("1", "m"), `{"jsonrpc":"2.0","method":"n"}`) // which is read when that has been refused
		got, err := c.end()
		ended := func(id string, f *failure) string { return string(errorFor(&call{message: messageWith(id)}, f)) }
		if want := []string{ended("0", errEnding), ended("1", errUnsent)}; err != nil || !slices.Equal(sorted(got), sorted(want)) {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	})
}

func TestEndOfTheContextEndsTheBridgeAtOnce(t *testing.T) {
	t.Parallel()
	for name, say := range map[string][]string{
		"idle":         {},
		"in a request": {ask("1", "m")},
		"initializing": {begin, saidBegun, ask("1", "m")},
		"telling":      {`{"jsonrpc":"2.0","method":"n"}`, `{"jsonrpc":"2.0","method":"n"}`},
		"withdrawing":  {ask("1", "m"), withdrawn("1")},
		"a tool":       {tool},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := &fake{asking: hangs, telling: func(ctx context.Context, _ *fake, _ message) error { <-ctx.Done(); return ctx.Err() }}
				c := bridged(t, f, Options{ToolTimeout: time.Minute})
				c.say(say...)
				synctest.Wait()
				start := time.Now()
				c.stop()
				rest, _ := io.ReadAll(c.out)
				for line := range strings.Lines(string(rest)) {
					if !strings.Contains(line, `"message":"injectproxy ended before `) {
						t.Errorf("the client was told %s", line)
					}
				}
				if err := <-c.ended; err != nil || time.Since(start) > 0 || f.ends != 1 {
					t.Errorf("after %s: %v, %d ends", time.Since(start), err, f.ends)
				}
			})
		})
	}
}

func TestClientThatReadsNothingDoesNotKeepTheBridge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		c := bridged(t, f, Options{})
		c.say(ask("1", "m"), ask("2", "m"), ask("3", "m"))
		synctest.Wait()
		start := time.Now()
		c.in.Close()
		if err := <-c.ended; err != nil || time.Since(start) != lastAnswers+lastWords || f.ends != 1 {
			t.Errorf("after %s: %v, %d ends", time.Since(start), err, f.ends)
		}
	})
}

func TestServerThatDoesNotTakeItsLeaveDoesNotKeepTheBridge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &slow{}
		b := newBridge(Options{}, func(b *Bridge) upstream { f.deliver = b.deliver; return f })
		c := run(t, b)
		start := time.Now()
		if _, err := c.end(); err != nil || time.Since(start) != lastRequest {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
	})
}

func TestRequestThatDoesNotEndDoesNotKeepTheBridgeForever(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stuck := make(chan struct{})
		defer close(stuck)
		f := &fake{asking: func(context.Context, *fake, *call) error { <-stuck; return nil }}
		c := bridged(t, f, Options{})
		c.say(ask("1", "m"))
		synctest.Wait()
		start := time.Now()
		c.stop()
		time.Sleep(lastWords + lastMoment)
		synctest.Wait()
		if told := f.told(); told != 1001 { // while the request is under way
			t.Errorf("%d ends", told)
		}
		if _, err := c.end(); err != nil || f.told() != 1001 || time.Since(start) != lastWords+lastMoment+lastResort {
			t.Errorf("after %s: %v, %d ends", time.Since(start), err, f.told())
		}
	})
}

// told returns how often f was told of the end.
func (f *fake) told() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ends
}

// slow does not end by itself.
type slow struct{ fake }

func (*slow) end(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

func TestBridgeEndsWhenTheClientIsGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{asking: func(ctx context.Context, f *fake, c *call) error {
			if c.Method == "hang" {
				return hangs(ctx, f, c)
			}
			return f.answer(c)
		}}
		c := bridged(t, f, Options{})
		c.say(begin)
		c.hears(begun)
		c.say(saidBegun, ask("1", "hang"))
		synctest.Wait()
		c.close()
		c.say(ask("2", "m"))
		err := <-c.ended
		if !errors.Is(err, io.ErrClosedPipe) || !strings.HasPrefix(err.Error(), "write to the client: ") || f.ends != 1 {
			t.Errorf("%v, %d ends", err, f.ends)
		}
	})
}

func TestBrokenInputIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		c := bridged(t, f, Options{})
		c.say(ask("1", "m"))
		c.hears(did("1", "m"))
		lost := errors.New("lost")
		c.in.CloseWithError(lost)
		if err := <-c.ended; !errors.Is(err, lost) || !strings.HasPrefix(err.Error(), "read the client's messages: ") || f.ends != 1 {
			t.Errorf("%v, %d ends", err, f.ends)
		}
	})
}
