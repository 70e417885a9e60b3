package stdio

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

const (
	tool     = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","_meta":{"progressToken":"p"}}}`
	modern   = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`
	progress = `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"\u0070","progress":1}}`
	elicit   = `{"jsonrpc":"2.0","id":"e","method":"elicitation/create","params":{}}`
	elicited = `{"jsonrpc":"2.0","id":"e","result":{"action":"accept"}}`
)

// timed runs a call that the server does with as it says, under a limit of a
// minute, and returns what the client hears and how long it took.
func timed(t *testing.T, request string, serve func(ctx context.Context, f *fake, c *call) error, reply ...string) (heard []string, took time.Duration, f *fake) {
	f = &fake{asking: serve}
	c := bridged(t, f, Options{ToolTimeout: time.Minute})
	start := time.Now()
	c.say(request)
	for {
		line := c.hear()
		heard = append(heard, line)
		if m, err := jsonrpc.Parse([]byte(line)); err != nil {
			t.Fatal(err)
		} else if m.Kind == jsonrpc.Response {
			break
		} else if m.Kind == jsonrpc.Request {
			time.Sleep(10 * time.Minute)
			c.say(reply...)
		}
	}
	took = time.Since(start)
	synctest.Wait()
	return heard, took, f
}

// hangs serves as a tool that never answers.
func hangs(ctx context.Context, _ *fake, c *call) error {
	c.left()
	<-ctx.Done()
	return ctx.Err()
}

func TestToolThatHangsIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		heard, took, f := timed(t, tool, hangs)
		if took != time.Minute || len(heard) != 1 || !strings.HasPrefix(heard[0], `{"jsonrpc":"2.0","id":1,"error":{"code":-32016,"message":"the tool gave no sign of life for 1m0s,`) {
			t.Errorf("after %s: %q", took, heard)
		}
		if saw := f.saw(); len(saw) != 2 || saw[1] != "notifications/cancelled" || f.raw[1] != `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"reason":"no sign of life for 1m0s","requestId":1}}` {
			t.Errorf("the server saw %q", f.raw)
		}
		if f.under(0) != 0 {
			t.Error("the request is still under way")
		}
	})
}

func TestModernToolThatHangsIsCancelledByClosing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		heard, took, f := timed(t, modern, hangs)
		if saw := f.saw(); took != time.Minute || len(heard) != 1 || len(saw) != 1 || f.under(0) != 0 {
			t.Errorf("after %s: %q, the server saw %q", took, heard, saw)
		}
	})
}

func TestOtherRequestsMayTakeTheirTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		heard, took, _ := timed(t, ask("1", "resources/read"), func(_ context.Context, f *fake, c *call) error {
			time.Sleep(24 * time.Hour)
			return f.answer(c)
		})
		if took != 24*time.Hour || heard[0] != did("1", "resources/read") {
			t.Errorf("after %s: %q", took, heard)
		}
	})
}

func TestSignOfLifeResetsTheLimit(t *testing.T) {
	t.Parallel()
	for name, sign := range map[string]func(f *fake, c *call) error{
		"progress on its stream":   func(f *fake, c *call) error { return f.deliver([]byte(progress), c) },
		"progress elsewhere":       func(f *fake, _ *call) error { return f.deliver([]byte(progress), nil) },
		"anything on its stream":   func(f *fake, c *call) error { return f.deliver([]byte(`{"jsonrpc":"2.0","method":"n"}`), c) },
		"a batch on its stream":    func(f *fake, c *call) error { return f.deliver([]byte(`[{"jsonrpc":"2.0","method":"n"}]`), c) },
		"progress in a batch, too": func(f *fake, _ *call) error { return f.deliver([]byte("["+progress+"]"), nil) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				heard, took, _ := timed(t, tool, func(_ context.Context, f *fake, c *call) error {
					for range 5 {
						time.Sleep(50 * time.Second)
						if err := sign(f, c); err != nil {
							t.Error(err)
						}
					}
					time.Sleep(50 * time.Second)
					return f.answer(c)
				})
				if took != 300*time.Second || len(heard) != 6 || heard[5] != did("1", "tools/call") {
					t.Errorf("after %s: %q", took, heard)
				}
			})
		})
	}
}

func TestWhatConcernsAnotherCallIsNoSignOfLife(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		heard, took, _ := timed(t, tool, func(ctx context.Context, f *fake, c *call) error {
			time.Sleep(50 * time.Second)
			f.deliver([]byte(strings.Replace(progress, `"\u0070"`, `"q"`, 1)), nil)
			f.deliver([]byte(`{"jsonrpc":"2.0","method":"n"}`), nil)
			return hangs(ctx, f, c)
		})
		if took != time.Minute || len(heard) != 3 {
			t.Errorf("after %s: %q", took, heard)
		}
	})
}

func TestClockStandsStillWhileTheServerWaitsForTheClient(t *testing.T) {
	t.Parallel()
	for name, on := range map[string]func(*call) *call{
		"on its stream": func(c *call) *call { return c },
		"on another":    func(*call) *call { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				heard, took, f := timed(t, tool, func(ctx context.Context, f *fake, c *call) error {
					c.left()
					f.deliver([]byte(elicit), on(c))
					return hangs(ctx, f, c)
				}, elicited)
				if took < 11*time.Minute || took > 11*time.Minute+time.Second || len(heard) != 2 || heard[0] != elicit || !strings.Contains(heard[1], "no sign of life") {
					t.Errorf("after %s: %q", took, heard)
				}
				if saw := f.saw(); len(saw) != 3 || f.raw[1] != elicited {
					t.Errorf("the server saw %q", saw)
				}
			})
		})
	}
	t.Run("and no longer", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			heard, took, _ := timed(t, tool, func(ctx context.Context, f *fake, c *call) error {
				c.left()
				time.Sleep(25 * time.Second)
				f.deliver([]byte(elicit), nil)
				return hangs(ctx, f, c)
			}, elicited)
			if took < 11*time.Minute || took > 11*time.Minute+time.Second || len(heard) != 2 {
				t.Errorf("after %s: %q", took, heard)
			}
		})
	})
	t.Run("and not for a ping", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			f := &fake{asking: func(ctx context.Context, f *fake, c *call) error {
				c.left()
				f.deliver([]byte(serversOwn), c)
				return hangs(ctx, f, c)
			}}
			c := bridged(t, f, Options{ToolTimeout: time.Minute})
			time.AfterFunc(time.Hour, c.stop)
			start := time.Now()
			c.say(tool)
			c.hears(serversOwn)
			if got, took := c.hear(), time.Since(start); !strings.Contains(got, "no sign of life") || took != time.Minute {
				t.Errorf("after %v: %s", took, got)
			}
		})
	})
	t.Run("nor for ever, if nobody knows for which call", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			f := &fake{asking: hangs, hearing: func(ctx context.Context, f *fake) {
				f.deliver([]byte(elicit), nil)
				<-ctx.Done()
			}}
			c := bridged(t, f, Options{ToolTimeout: time.Minute})
			c.say(saidBegun)
			c.hears(elicit)
			time.Sleep(2 * mostHalt)
			time.AfterFunc(time.Hour, c.stop)
			start := time.Now()
			c.say(tool)
			if got, took := c.hear(), time.Since(start); !strings.Contains(got, "no sign of life") || took != time.Minute {
				t.Errorf("after %v: %s", took, got)
			}
		})
	})
	t.Run("until it waits no more", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			_, took, _ := timed(t, tool, func(ctx context.Context, f *fake, c *call) error {
				c.left()
				f.deliver([]byte(elicit), c)
				time.Sleep(20 * time.Minute)
				f.deliver([]byte(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"\u0065"}}`), nil)
				return hangs(ctx, f, c)
			})
			if took != 21*time.Minute {
				t.Errorf("after %s", took)
			}
		})
	})
}

func TestNextCallWorksAfterOneThatHung(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{asking: func(ctx context.Context, f *fake, c *call) error {
			if string(c.ID) == "1" {
				return hangs(ctx, f, c)
			}
			return f.answer(c)
		}}
		c := bridged(t, f, Options{ToolTimeout: time.Minute})
		c.say(tool)
		c.hear()
		// Of the same id, as if it were another.
		c.say(strings.Replace(tool, `"id":1`, `"id":2`, 1))
		c.hears(did("2", "tools/call"))
	})
}
