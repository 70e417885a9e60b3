package session

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestHeldStreamIsLookedAfterWhileALegStands(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var ticks []time.Duration
		second, _ := pipeLeg()
		p, w := newPlay(t, func(n int, _ string) (*http.Response, bool, error) {
			if n == 11 {
				return second, false, nil
			}
			return nil, false, errDown
		}, func(p *play) {
			p.h.tick = func(context.Context) { p.locked(func() { ticks = append(ticks, time.Since(p.began)/time.Minute) }) }
		})
		time.Sleep(2*time.Minute + 30*time.Second)
		w.Close() // 10 tries of which the first 5 take 8 s, and the others 10 s each
		time.Sleep(57*time.Second + 4*time.Minute + 30*time.Second)
		p.locked(func() {
			if !slices.Equal(ticks, []time.Duration{1, 2, 4, 5, 6, 7}) {
				t.Errorf("ticks at minutes %v; the stream had no leg at the third", ticks)
			}
		})
	})
}

func TestTickThatTakesLongHoldsNothingUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var running, most, calls atomic.Int32
		release := make(chan struct{})
		second, next := pipeLeg()
		p, w := newPlay(t, legs(second), func(p *play) {
			p.h.renewed = func() <-chan struct{} { return p.renewed }
			p.h.tick = func(context.Context) {
				calls.Add(1)
				most.Store(max(most.Load(), running.Add(1)))
				<-release
				running.Add(-1)
			}
		})
		time.Sleep(10 * time.Minute)
		io.WriteString(w, "data: a\n\n")
		p.says("data: a\n\n", nil)
		c := p.renewed
		p.renewed = nil
		close(c)
		io.WriteString(next, "data: b\n\n")
		p.says("data: a\n\ndata: b\n\n", nil)
		close(release)
		time.Sleep(2*time.Minute + 30*time.Second)
		if most.Load() != 1 || calls.Load() != 3 {
			t.Errorf("%d ticks, %d at once", calls.Load(), most.Load())
		}
	})
}

func TestStreamEndsWhenATickFindsThatTheSessionIsGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, w := newPlay(t, down, func(p *play) {
			p.h.tick = func(context.Context) { p.dead.Store(true) }
		})
		io.WriteString(w, "data: a\n\n")
		time.Sleep(59 * time.Second)
		p.says("data: a\n\n", nil)
		time.Sleep(time.Second)
		p.says("data: a\n\n", io.EOF)
	})
}

func TestCloseEndsTheLegAndWaitsForTheTick(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"close", "leave"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var ended atomic.Bool
				p, w := newPlay(t, down, func(p *play) {
					p.h.tick = func(ctx context.Context) {
						<-ctx.Done()
						time.Sleep(time.Second)
						ended.Store(true)
					}
				})
				time.Sleep(time.Minute)
				if how == "leave" {
					p.leave()
				}
				p.body.Close()
				if !ended.Load() {
					t.Error("the tick is still at work")
				}
				if _, err := io.WriteString(w, "data: a\n\n"); err == nil {
					t.Error("the leg is still read")
				}
				p.says("", context.Canceled)
				if n := len(p.tries()); n != 0 {
					t.Errorf("%d tries", n)
				}
			})
		})
	}
}

func TestCloseEndsWhatIsBeingOpened(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		left := make(chan struct{})
		first, w := pipeLeg()
		res := hold(t.Context(), first, holding{
			live: func() bool { return true },
			open: func(ctx context.Context, _ string) (*http.Response, bool, error) {
				<-ctx.Done()
				close(left)
				return nil, false, ctx.Err()
			},
		})
		end := make(chan error)
		go func() {
			_, err := res.Body.Read(make([]byte, 10))
			end <- err
		}()
		w.Close()
		time.Sleep(2 * time.Second)
		res.Body.Close()
		<-left
		if err := <-end; err != context.Canceled {
			t.Error(err)
		}
	})
}

// TestLegThatComesAfterTheClientHasLeftIsClosed holds the moment in between:
// the leg is there, and nobody waits for it any more.
func TestLegThatComesAfterTheClientHasLeftIsClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		closed := make(chan struct{})
		first, w := pipeLeg()
		var body io.Closer
		res := hold(t.Context(), first, holding{
			live: func() bool { return true },
			open: func(ctx context.Context, _ string) (*http.Response, bool, error) {
				go body.Close()
				<-ctx.Done()
				return stream200(closer{closed}), true, nil
			},
			greet: func() []string { return []string{"{}"} },
		})
		body = res.Body
		w.Close()
		io.ReadAtLeast(res.Body, make([]byte, 10), 10) // the first that there is; nobody reads on
		<-closed
	})
}

func TestLargeEventThatIsCutEndsTheStreamWithAnError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, w := newPlay(t, down)
		const size = 9 << 20
		go func() {
			io.WriteString(w, "data: a\n\ndata: ")
			for range size >> 10 {
				io.WriteString(w, strings.Repeat("x", 1<<10))
			}
			w.Close()
		}()
		p.says("data: a\n\ndata: "+strings.Repeat("x", size), io.ErrUnexpectedEOF)
		if n := len(p.tries()); n != 0 {
			t.Errorf("%d tries", n)
		}
	})
}

// TestReadersAndLegsOfAnySizeAgree holds that the client reads what was said,
// however the server's pieces and the reader's room fall.
func TestReadersAndLegsOfAnySizeAgree(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var want bytes.Buffer
		var all []*http.Response
		for range 3 {
			leg, w := pipeLeg()
			var text bytes.Buffer
			for range rnd.IntN(5) {
				text.WriteString("id: 1\r\ndata: " + strings.Repeat("y", rnd.IntN(80)) + "\r\n\r\n")
			}
			want.Write(text.Bytes())
			text.WriteString("id: 2\r\ndata: lost")
			go func(sizes *rand.Rand) {
				for text.Len() > 0 {
					w.Write(text.Next(1 + sizes.IntN(50)))
				}
				w.Close()
			}(rand.New(rand.NewPCG(seed, 2)))
			all = append(all, leg)
		}
		more := legs(all[1:]...)
		n := 0
		res := hold(t.Context(), all[0], holding{light: time.Nanosecond, live: func() bool { return n < 2 }, open: func(context.Context, string) (*http.Response, bool, error) {
			n++
			return more(n, "")
		}})
		var got bytes.Buffer
		var err error
		for err == nil {
			buf, k := make([]byte, 1+rnd.IntN(60)), 0
			k, err = res.Body.Read(buf)
			got.Write(buf[:k])
		}
		res.Body.Close()
		if err != io.EOF || got.String() != want.String() {
			t.Fatalf("seed %d: %v, got %q, want %q", seed, err, got.String(), want.String())
		}
	}
}

// A stream that must not be opened again goes on with its leg, but nothing of
// the proxy's own is sent for it any more.
func TestStreamThatMustNotBeOpenedAgainIsNotLookedAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var ticks atomic.Int32
		over := make(chan struct{})
		p, w := newPlay(t, down, func(p *play) {
			p.h.over = over
			p.h.tick = func(context.Context) { ticks.Add(1) }
		})
		time.Sleep(150 * time.Second)
		close(over)
		time.Sleep(10 * time.Minute)
		io.WriteString(w, "data: still here\n\n")
		synctest.Wait()
		if n := ticks.Load(); n != 2 {
			t.Errorf("%d ticks, want the 2 before the end", n)
		}
		p.says("data: still here\n\n", nil)
	})
}
