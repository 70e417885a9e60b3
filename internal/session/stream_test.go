package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/injectproxy/injectproxy/internal/eventstream"
)

// play is a held stream in a bubble, with a server of which each answer is
// scripted.
type play struct {
	t      *testing.T
	began  time.Time
	answer func(n int, last string) (*http.Response, bool, error) // to the n-th open, from 1
	h      holding
	body   io.ReadCloser
	leave  context.CancelFunc

	mu      sync.Mutex
	opens   []time.Duration // since the beginning
	lasts   []string
	said    strings.Builder
	end     error
	seen    []string
	notes   []EventKind
	dead    atomic.Bool
	renewed chan struct{}
}

// newPlay begins to read a stream whose first leg is what the returned pipe is
// given. change may alter what the session is like.
func newPlay(t *testing.T, answer func(n int, last string) (*http.Response, bool, error), change ...func(*play)) (*play, *io.PipeWriter) {
	p := &play{t: t, began: time.Now(), answer: answer, renewed: make(chan struct{})}
	p.h = holding{
		open: p.open, live: func() bool { return !p.dead.Load() }, light: time.Minute,
		note: func(e Event) { p.locked(func() { p.notes = append(p.notes, e.Kind) }) },
		seen: func(e eventstream.Event) { p.locked(func() { p.seen = append(p.seen, string(e.Data)) }) },
	}
	for _, c := range change {
		c(p)
	}
	first, w := pipeLeg()
	ctx, leave := context.WithCancel(t.Context())
	p.leave = leave
	res := hold(ctx, first, p.h)
	p.body = res.Body
	go func() {
		buf := make([]byte, 100)
		for {
			n, err := p.body.Read(buf)
			p.locked(func() { p.said.Write(buf[:n]); p.end = err })
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		leave()
		p.body.Close()
		w.Close()
		synctest.Wait()
	})
	return p, w
}

func (p *play) open(ctx context.Context, last string) (*http.Response, bool, error) {
	n := 0
	p.locked(func() {
		p.opens, p.lasts = append(p.opens, time.Since(p.began)), append(p.lasts, last)
		n = len(p.opens)
	})
	return p.answer(n, last)
}

func (p *play) locked(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

// says fails unless the client has read exactly that, and its end is err.
func (p *play) says(want string, err error) {
	p.t.Helper()
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if got := p.said.String(); got != want {
		p.t.Errorf("the client has %q, want %q", got, want)
	}
	if !errors.Is(p.end, err) {
		p.t.Errorf("the client's stream: %v, want %v", p.end, err)
	}
}

// tries returns when legs have been opened so far.
func (p *play) tries() []time.Duration {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.opens)
}

func pipeLeg() (*http.Response, *io.PipeWriter) {
	r, w := io.Pipe()
	return stream200(r), w
}

func stream200(body io.ReadCloser) *http.Response {
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/event-stream; charset=utf-8"}}, Body: body, ContentLength: -1}
}

func status(code int, header ...string) *http.Response {
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: code, Header: h, Body: http.NoBody}
}

var errDown = errors.New("down")

func down(int, string) (*http.Response, bool, error) { return nil, false, errDown }

// legs answers with one leg after the other, and then as if the server were
// down.
func legs(all ...*http.Response) func(int, string) (*http.Response, bool, error) {
	return func(n int, _ string) (*http.Response, bool, error) {
		if n > len(all) {
			return nil, false, errDown
		}
		return all[n-1], false, nil
	}
}

func TestHeldStreamGoesOnOverTheNextLegFromTheLastEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		second, next := pipeLeg()
		p, w := newPlay(t, legs(second), func(p *play) { p.h.lastEventID = "0" })
		time.Sleep(time.Second)
		io.WriteString(w, "id: 1\ndata: a\n\nid: 2\ndata: ha")
		p.says("id: 1\ndata: a\n\n", nil)
		w.Close()
		if at := p.tries(); len(at) != 1 || at[0] != time.Second || p.lasts[0] != "1" {
			t.Fatalf("opened at %v after %q, want at once, after event 1", at, p.lasts)
		}
		io.WriteString(next, "\xef\xbb\xbfid: 2\ndata: half\n\n")
		p.says("id: 1\ndata: a\n\nid: 2\ndata: half\n\n", nil)
		if !slices.Equal(p.notes, []EventKind{Reopened}) || !slices.Equal(p.seen, []string{"a", "half"}) {
			t.Errorf("notes %v, seen %q", p.notes, p.seen)
		}
	})
}

func TestFirstLegThatSaidNothingIsFollowedFromTheClientsOwnLastEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, w := newPlay(t, down, func(p *play) { p.h.lastEventID = "41" })
		time.Sleep(time.Second)
		w.Close()
		if p.tries(); len(p.lasts) != 1 || p.lasts[0] != "41" {
			t.Errorf("opened after %q", p.lasts)
		}
	})
}

func TestTriesGetFartherApart(t *testing.T) {
	t.Parallel()
	for _, light := range []time.Duration{0, time.Minute, 3 * time.Second} {
		for name, broken := range map[string]func(int, string) (*http.Response, bool, error){
			"unreachable": down,
			"500":         func(int, string) (*http.Response, bool, error) { return status(500), false, nil },
			"409":         func(int, string) (*http.Response, bool, error) { return status(409), false, nil },
			"429":         func(int, string) (*http.Response, bool, error) { return status(429, "Retry-After", "soon"), false, nil },
			"empty":       func(int, string) (*http.Response, bool, error) { return stream200(http.NoBody), false, nil },
		} {
			t.Run(fmt.Sprint(name, light), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p, w := newPlay(t, broken, func(p *play) { p.h.light = light })
					io.WriteString(w, "data: a\n\n")
					time.Sleep(time.Second)
					w.CloseWithError(io.ErrUnexpectedEOF)
					time.Sleep(time.Hour)
					at := p.tries()
					last, step := time.Second, 250*time.Millisecond
					for i, a := range at {
						least, most := step*8/10, step*12/10
						if light > 0 {
							least, most = min(least, light), min(most, light)
						}
						if gap := a - last; gap < least || gap > most {
							t.Fatalf("try %d came %v after the one before, want %v to %v", i+1, gap, least, most)
						}
						last, step = a, min(2*step, 10*time.Second)
					}
					if len(at) < 290 {
						t.Errorf("%d tries in an hour", len(at))
					}
				})
			})
		}
	}
}

func TestTriesAreNotAllOfOneBeat(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, w := newPlay(t, down)
		w.Close()
		time.Sleep(10 * time.Minute)
		at, gaps := p.tries(), map[time.Duration]bool{}
		for i := 10; i < len(at); i++ {
			gaps[at[i]-at[i-1]] = true
		}
		if len(gaps) < 10 {
			t.Errorf("%d different waits among %d", len(gaps), len(at))
		}
	})
}

func TestServersOwnPaceIsKept(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		stream string
		answer *http.Response
		want   []time.Duration
	}{
		{"retry field", "retry: 4000\ndata: a\n\n", nil, []time.Duration{4 * time.Second, 8 * time.Second}},
		{"retry field alone", "retry: 4000\n\n", nil, []time.Duration{4 * time.Second, 8 * time.Second}},
		{"not longer than light", "retry: 900000\ndata: a\n\n", nil, []time.Duration{time.Minute, 2 * time.Minute}},
		{"seconds", "data: a\n\n", status(429, "Retry-After", "7"), []time.Duration{time.Second, 8 * time.Second}},
		{"date", "data: a\n\n", status(503, "Retry-After", "Sat, 01 Jan 2000 00:00:09 GMT"), []time.Duration{time.Second, 9 * time.Second}},
		{"seconds, not longer than light", "data: a\n\n", status(503, "Retry-After", "600"), []time.Duration{time.Second, 61 * time.Second}},
		{"a time that is past", "data: a\n\n", status(503, "Retry-After", "Sat, 01 Jan 1999 00:00:09 GMT"), []time.Duration{time.Second}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, w := newPlay(t, func(n int, _ string) (*http.Response, bool, error) {
					if n == 1 && c.answer != nil {
						return c.answer, false, nil
					}
					return nil, false, errDown
				})
				io.WriteString(w, c.stream)
				if c.answer != nil {
					time.Sleep(time.Second)
				}
				w.Close()
				time.Sleep(5 * time.Minute)
				at := p.tries()
				if len(at) < len(c.want) || !slices.Equal(at[:len(c.want)], c.want) {
					t.Errorf("tries at %v, want %v …", at[:min(len(at), 4)], c.want)
				}
			})
		})
	}
}

// TestLegThatServedClearsItsServer holds when the waits begin anew, and that
// a server that says something and ends the stream, again and again, is not
// asked without a pause.
func TestLegThatServedClearsItsServer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		serve func(io.Writer)
		least time.Duration // until the try that follows this leg
		most  time.Duration
	}{
		{"data", func(w io.Writer) { io.WriteString(w, "data: a\n\n") }, 800 * time.Millisecond, 1200 * time.Millisecond},
		{"data, and its own pace", func(w io.Writer) { io.WriteString(w, "retry: 400\ndata: a\n\n") }, 400 * time.Millisecond, 400 * time.Millisecond},
		{"data, after a while", func(w io.Writer) { time.Sleep(time.Second); io.WriteString(w, "data: a\n\n") }, time.Second, time.Second},
		{"time", func(io.Writer) { time.Sleep(5 * time.Second) }, 5 * time.Second, 5 * time.Second},
		{"an id alone", func(w io.Writer) { io.WriteString(w, "id: 1\ndata: \n\n") }, 8 * time.Second, 12 * time.Second},
		{"a comment", func(w io.Writer) { io.WriteString(w, ": ping\n\n") }, 8 * time.Second, 12 * time.Second},
		{"half an event", func(w io.Writer) { io.WriteString(w, "data: a\n") }, 8 * time.Second, 12 * time.Second},
		{"too little time", func(io.Writer) { time.Sleep(4 * time.Second) }, 12 * time.Second, 16 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				second, next := pipeLeg()
				p, w := newPlay(t, func(n int, _ string) (*http.Response, bool, error) {
					if n == 19 {
						return status(503, "Retry-After", "30"), false, nil
					}
					if n != 20 {
						return nil, false, errDown
					}
					go func() {
						c.serve(next)
						next.Close()
					}()
					return second, false, nil
				})
				w.Close()
				time.Sleep(10 * time.Minute)
				at := p.tries()
				if gap := at[20] - at[19]; gap < c.least || gap > c.most {
					t.Errorf("the next try came after %v, want %v to %v", gap, c.least, c.most)
				}
			})
		})
	}
}

func TestAnswerThatIsNoStreamEndsTheClients(t *testing.T) {
	t.Parallel()
	gzip := stream200(http.NoBody)
	gzip.Header.Set("Content-Encoding", "gzip")
	for name, res := range map[string]*http.Response{
		"405": status(405), "401": status(401), "404": status(404), "307": status(307, "Location", "/"), "204": status(204),
		"json": status(200, "Content-Type", "application/json"), "gzip": gzip,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				closed := make(chan struct{})
				res.Body = closer{closed}
				p, w := newPlay(t, legs(res))
				io.WriteString(w, "data: a\n\n")
				w.Close()
				time.Sleep(time.Minute)
				p.says("data: a\n\n", io.EOF)
				if n := len(p.tries()); n != 1 || len(p.notes) != 0 || !isClosed(closed) {
					t.Errorf("%d tries, notes %v, answer closed: %v", n, p.notes, isClosed(closed))
				}
			})
		})
	}
}

// closer is an empty body that tells when it is closed.
type closer struct{ c chan struct{} }

func (closer) Read([]byte) (int, error) { return 0, io.EOF }
func (c closer) Close() error           { close(c.c); return nil }

func TestAnswerInAContentCodingIsNotHeld(t *testing.T) {
	t.Parallel()
	first := stream200(http.NoBody)
	first.Header.Set("Content-Encoding", "gzip")
	if res := hold(t.Context(), first, holding{}); res != first || res.Body != http.NoBody {
		t.Error("it was touched")
	}
}

func TestHeldAnswerSaysNothingOfItsFirstLegsEnd(t *testing.T) {
	t.Parallel()
	first := stream200(http.NoBody)
	first.Header.Set("Content-Length", "0")
	first.ContentLength, first.Trailer = 0, http.Header{"X-Sum": nil}
	res := hold(t.Context(), first, holding{live: func() bool { return false }})
	defer res.Body.Close()
	if res.ContentLength != -1 || res.Header.Get("Content-Length") != "" || res.Trailer != nil {
		t.Errorf("%+v", res)
	}
}

func TestClientIsToldOfAHealingOnceItsStreamStands(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		second, next := pipeLeg()
		third, last := pipeLeg()
		p, w := newPlay(t, func(n int, last string) (*http.Response, bool, error) {
			switch n {
			case 1:
				return nil, true, errDown // the session is healed, its stream not there yet
			case 2:
				return second, false, nil
			}
			return third, false, nil
		}, func(p *play) { p.h.greet = func() []string { return []string{"{1}", "{2}"} } })
		io.WriteString(w, "id: 7\nretry: 30000\ndata: a\n\n")
		w.Close()
		time.Sleep(40 * time.Second)
		told := "id: 7\nretry: 30000\ndata: a\n\nevent: message\ndata: {1}\n\nevent: message\ndata: {2}\n\n"
		p.says(told, nil)
		if at := p.tries(); len(at) != 2 || at[1]-at[0] > time.Second || !slices.Equal(p.lasts, []string{"7", ""}) {
			t.Fatalf("tries at %v after %q: the event and the pace of the lost session count no more", at, p.lasts)
		}
		io.WriteString(next, "id: 1\ndata: b\n\n")
		next.Close()
		io.WriteString(last, "data: c\n\n")
		p.says(told+"id: 1\ndata: b\n\ndata: c\n\n", nil)
		if p.lasts[2] != "1" {
			t.Errorf("then after %q", p.lasts[2])
		}
	})
}

func TestFirstLegOfAHealedSessionBeginsWithThat(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, w := newPlay(t, down, func(p *play) {
			p.h.fresh, p.h.greet = true, func() []string { return []string{"{1}"} }
		})
		io.WriteString(w, "\xef\xbb\xbfdata: a\n\n")
		p.says("event: message\ndata: {1}\n\ndata: a\n\n", nil)
	})
}

func TestLegOfAReplacedSessionIsReplacedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		second, next := pipeLeg()
		p, w := newPlay(t, legs(second), func(p *play) {
			p.h.renewed = func() (c <-chan struct{}) { p.locked(func() { c = p.renewed }); return c }
		})
		io.WriteString(w, "retry: 5000\ndata: a\n\n")
		time.Sleep(10 * time.Second)
		p.locked(func() { close(p.renewed); p.renewed = make(chan struct{}) })
		if at := p.tries(); !slices.Equal(at, []time.Duration{10 * time.Second}) {
			t.Fatalf("tries at %v", at)
		}
		if _, err := io.WriteString(w, "data: late\n\n"); err == nil {
			t.Error("the old leg is still read")
		}
		io.WriteString(next, "data: b\n\n")
		p.says("retry: 5000\ndata: a\n\ndata: b\n\n", nil)
		next.Close()
		time.Sleep(time.Minute) // it is down, and tries are far apart
		at := time.Since(p.began)
		p.locked(func() { close(p.renewed); p.renewed = make(chan struct{}) })
		time.Sleep(250 * time.Millisecond)
		if all := p.tries(); all[len(all)-1] < at {
			t.Errorf("tries at %v: one was worth it when the session was renewed, at %v", all, at)
		}
	})
}

func TestRenewalThatStaysClosedIsNoStorm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := make(chan struct{})
		close(c)
		p, _ := newPlay(t, func(int, string) (*http.Response, bool, error) {
			res, _ := pipeLeg()
			return res, true, nil
		}, func(p *play) { p.h.renewed = func() <-chan struct{} { return c } })
		time.Sleep(10 * time.Second)
		if n := len(p.tries()); n != 40 {
			t.Errorf("%d tries in 10 s", n)
		}
	})
}

func TestStreamThatMustNotBeOpenedAgainEndsWithItsLeg(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"while a leg stands", "while none stands", "when the session is gone"} {
		t.Run(when, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				over := make(chan struct{})
				p, w := newPlay(t, down, func(p *play) { p.h.over = over })
				io.WriteString(w, "data: a\n\n")
				switch when {
				case "while a leg stands":
					close(over)
					time.Sleep(time.Hour)
					io.WriteString(w, "data: b\n\n")
					p.says("data: a\n\ndata: b\n\n", nil)
					w.Close()
					p.says("data: a\n\ndata: b\n\n", io.EOF)
				case "while none stands":
					w.Close()
					time.Sleep(time.Minute)
					p.says("data: a\n\n", nil)
					close(over)
					p.says("data: a\n\n", io.EOF)
				default:
					p.dead.Store(true)
					w.Close()
					p.says("data: a\n\n", io.EOF)
				}
			})
		})
	}
}
