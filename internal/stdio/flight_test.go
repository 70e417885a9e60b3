package stdio

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

func TestClientThatReadsLateMissesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n = 1000
		pad := strings.Repeat("x", 1000)
		f := &fake{asking: func(_ context.Context, f *fake, c *call) error {
			c.left()
			f.deliver(fmt.Appendf(nil, `{"jsonrpc":"2.0","method":"n","params":{"of":%s}}`, c.ID), c)
			return f.deliver(fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"result":%q}`, c.ID, pad), c)
		}}
		c := bridged(t, f, Options{})
		for id := range n {
			c.say(ask(strconv.Itoa(id), "m"))
		}
		synctest.Wait()
		if got := f.under(0); got != n {
			t.Errorf("%d requests are under way: the reader has waited for the output", got)
		}
		answers, notes := map[string]int{}, 0
		for range 2 * n {
			line := c.hear()
			m, err := jsonrpc.Parse([]byte(line))
			switch {
			case err != nil:
				t.Fatal(err)
			case m.Kind == jsonrpc.Notification:
				notes++
			case len(m.Result) != len(pad)+2:
				t.Errorf("%d bytes", len(m.Result))
			}
			answers[string(m.ID)]++
		}
		if rest, err := c.end(); err != nil || len(rest) > 0 || notes != n || len(answers) != n+1 {
			t.Errorf("%d answers, %d notifications, then %q, %v", len(answers)-1, notes, rest, err)
		}
	})
}

func TestRoomIsGivenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n = 100
		f := &fake{asking: func(ctx context.Context, f *fake, c *call) error {
			if c.Method == "hang" {
				return hangs(ctx, f, c)
			}
			return f.answer(c)
		}}
		c := bridged(t, f, Options{})
		for id := range n {
			c.say(
				ask(strconv.Itoa(id), "m"), `{"jsonrpc":"1.0","id":"x","method":"m"}`,
				`{"jsonrpc":"2.0","method":"n"}`, withdrawn(strconv.Itoa(id)),
			)
			c.hear()
			c.hear()
			c.say(ask("-1", "hang"), withdrawn("-1"))
			time.Sleep(lastGrace + 1)
			synctest.Wait()
		}
		synctest.Wait()
		if got := len(f.saw()); got != 5*n {
			t.Errorf("the server saw %d messages", got)
		}
		for name, room := range map[string]bool{
			"calls": c.b.in.calls.messages.TryAcquire(mostCalls), "their bytes": c.b.in.calls.bytes.TryAcquire(mostBytes),
			"told": c.b.in.told.messages.TryAcquire(mostTold), "its bytes": c.b.in.told.bytes.TryAcquire(mostBytes),
		} {
			if !room {
				t.Errorf("of the room for %s some is lost", name)
			}
		}
	})
}

func TestReaderWaitsWhenTooMuchIsInFlight(t *testing.T) {
	t.Parallel()
	note := `{"jsonrpc":"2.0","method":"n"}`
	for name, tt := range map[string]struct {
		line string // of which so many get through
		want int
	}{
		"requests":      {ask("1", "m"), 3},
		"notifications": {note, 4},
		"a batch":       {"[" + note + "," + note + "," + note + "," + note + "," + note + "]", 4},
		"bytes":         {ask("1", strings.Repeat("m", 400)), 2},
		"refusals":      {`{"jsonrpc":"1.0","id":1,"method":"m"}`, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithCancel(context.Background())
				to, ended := make(chan arrival), make(chan error)
				in := &input{
					b:     newBridge(Options{}, func(*Bridge) upstream { return nil }),
					lines: newLines(strings.NewReader(strings.Repeat(tt.line+"\n", 20)), mostMessage), to: to,
					calls: newRoom(3, 1000), told: newRoom(4, 1000),
				}
				go func() { ended <- in.read(ctx) }()
				passed := func() (n int, last arrival) {
					for {
						synctest.Wait()
						select {
						case last = <-to:
							n++
						default:
							return n, last
						}
					}
				}
				n, last := passed()
				if n != tt.want {
					t.Errorf("%d passed, want %d", n, tt.want)
				}
				in.release(last)
				if n, _ := passed(); n != 1 {
					t.Errorf("%d passed when there was room for another", n)
				}
				stop()
				if err := <-ended; err != context.Canceled {
					t.Error(err)
				}
			})
		})
	}
}

// Calls that take all the room wait for a reply that stands behind another call:
// it is read all the same.
func TestReplyIsReadThoughThereIsNoRoomForCalls(t *testing.T) {
	t.Parallel()
	for name, crowd := range map[string]func(*Bridge){
		"calls": func(b *Bridge) { b.in.calls.messages.TryAcquire(mostCalls - 1) },
		"bytes": func(b *Bridge) { b.in.calls.bytes.TryAcquire(mostBytes - int64(len(tool))) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				replied := make(chan struct{})
				f := &fake{
					asking: func(_ context.Context, f *fake, c *call) error {
						c.left()
						if c.Method == "tools/call" {
							f.deliver([]byte(elicit), c)
							<-replied
						}
						return f.answer(c)
					},
					telling: func(context.Context, *fake, message) error { close(replied); return nil },
				}
				c := bridged(t, f, Options{})
				time.AfterFunc(time.Hour, c.stop)
				synctest.Wait()
				crowd(c.b)
				c.say(tool)
				c.hears(elicit)
				start := time.Now()
				c.say(ask("2", "m"), elicited)
				want := []string{string(errorFor(&call{message: messageWith("2")}, errCrowded)), did("1", "tools/call")}
				if heard := []string{c.hear(), c.hear()}; !slices.Equal(sorted(heard), sorted(want)) { // neither waits for the other
					t.Errorf("heard %q, want %q", heard, want)
				}
				if took := time.Since(start); took != patience {
					t.Errorf("after %v", took)
				}
				c.say(ask("3", "m")) // there is room again
				c.hears(did("3", "m"))
			})
		})
	}
}

// Nobody is refused for being early: without a question of the server's a
// request waits for as long as the others take.
func TestRequestWaitsForRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{asking: func(_ context.Context, f *fake, c *call) error {
			c.left()
			time.Sleep(10 * patience)
			return f.answer(c)
		}}
		c := bridged(t, f, Options{})
		synctest.Wait()
		c.b.in.calls.messages.TryAcquire(mostCalls - 1)
		c.say(ask("1", "m"), ask("2", "m"))
		c.hears(did("1", "m"), did("2", "m"))
	})
}
