package token

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// machine has the two clocks of a computer that sleeps and whose wall clock is
// set, beside the time that it really is.
type machine struct{ slept, set time.Duration }

func (m *machine) really() time.Time { return time.Now().Add(m.slept) }
func (m *machine) now() time.Time    { return m.really().Add(m.set) }

// hour gives tokens that end an hour from when it really is, and counts.
type hour struct {
	*machine
	asked int
}

func (h *hour) Token(context.Context, Ask) (Token, error) {
	h.asked++
	return New(fmt.Sprintf("value-%d", h.asked), "test", h.really().Add(time.Hour))
}

// A request comes every second for ten minutes after each change of the clock.
// Of what the source is asked, one acquisition belongs to the change; the rest
// is what the same ten minutes would cost by a clock that was never touched, or
// whose difference makes every token seem to be within its margin or ended.
func TestClockThatIsSetAndMachineThatSleepsCostNoStormAndNoEndedToken(t *testing.T) {
	const wait = 10 * time.Minute
	for name, tt := range map[string]struct {
		change func(*machine)
		most   int  // acquisitions after the change
		fails  bool // every token seems to have ended
	}{
		"nothing":                    {func(*machine) {}, 1, false},
		"set back an hour":           {func(m *machine) { m.set -= time.Hour }, 1, false},
		"set back a day":             {func(m *machine) { m.set -= 24 * time.Hour }, 1, false},
		"set forward 30 min":         {func(m *machine) { m.set += 30 * time.Minute }, 1, false},
		"set forward into margin":    {func(m *machine) { m.set += 57 * time.Minute }, int(wait/refreshEvery) + 1, false},
		"set forward a day":          {func(m *machine) { m.set += 24 * time.Hour }, int(wait/longestPause) + 1, true},
		"slept ten minutes":          {func(m *machine) { m.slept += 10 * time.Minute }, 1, false},
		"slept through the margin":   {func(m *machine) { m.slept += 56 * time.Minute }, 1, false},
		"slept for eight hours":      {func(m *machine) { m.slept += 8 * time.Hour }, 1, false},
		"slept, woke with old clock": {func(m *machine) { m.slept += 8 * time.Hour; m.set -= 8 * time.Hour }, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := new(machine)
				src := &hour{machine: m}
				c := NewCache(src, Options{Now: m.now, Margin: 5 * time.Minute})
				defer c.Close()
				requests := func(d time.Duration) (failed int) {
					for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Second) {
						tok, err := c.Token(t.Context())
						switch {
						case err != nil && !errors.As(err, new(*Error)):
							t.Fatal(err)
						case err != nil:
							failed++
						case !m.now().Before(tok.Expiry()):
							t.Fatalf("a token that has ended at %v, and it is %v", tok.Expiry(), m.now())
						}
						synctest.Wait()
					}
					return failed
				}
				requests(wait)
				before := src.asked
				tt.change(m)
				failed := requests(wait)
				if n := src.asked - before; n > tt.most {
					t.Errorf("the source was asked %d times in %v, want at most %d", n, wait, tt.most)
				}
				if (failed > 0) != tt.fails {
					t.Errorf("%d requests failed", failed)
				}
				// Once the clock is right again, all is as it was.
				m.set = 0
				before = src.asked
				time.Sleep(leastPause)
				if failed := requests(wait); failed > 0 {
					t.Errorf("%d requests failed by a clock that is right", failed)
				}
				if n := src.asked - before; n > 2 {
					t.Errorf("the source was asked %d times by a clock that is right", n)
				}
			})
		})
	}
}

func TestClockThatJumpsToAndFroCostsARefreshInHalfAMinuteAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(machine)
		src := &hour{machine: m}
		c := NewCache(src, Options{Now: m.now, Margin: 5 * time.Minute})
		defer c.Close()
		for i := range 600 {
			m.set = time.Duration(i%5) * 14 * time.Minute // 56 min at most
			if tok, err := c.Token(t.Context()); err != nil || !m.now().Before(tok.Expiry()) {
				t.Fatalf("%v, %v", tok, err)
			}
			synctest.Wait()
			time.Sleep(time.Second)
		}
		if most := 1 + 600/30; src.asked > most {
			t.Errorf("asked %d times in 10 min of a clock that jumps every second, want at most %d", src.asked, most)
		}
	})
}
