package stdio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// bigResult is a response of about so many bytes.
func bigResult(id, size int) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":{"x":"%s"}}`, id, strings.Repeat("x", size))
}

// answerBig answers as JSON or as an event, which it begins with a note.
func answerBig(w http.ResponseWriter, r *http.Request, size int, stream bool) {
	b, _ := io.ReadAll(r.Body)
	var id int
	fmt.Sscan(string(messageOf(string(b)).ID), &id)
	if !stream {
		w.Header().Set("Content-Type", typeJSON)
		io.WriteString(w, bigResult(id, size))
		return
	}
	say(w, alive+"data: "+bigResult(id, size)+"\n\n")
}

// TestLargeMessagesArriveByteForByte holds what is larger than any buffer, both
// ways.
func TestLargeMessagesArriveByteForByte(t *testing.T) {
	both(t, func(t *testing.T, proto string) {
		for name, stream := range map[string]bool{"JSON": false, "stream": true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				const size = 512 << 10
				body := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"x","params":{"x":"%s"}}`, strings.Repeat("y", size))
				f := newFar(t, proto, func(w http.ResponseWriter, r *http.Request) {
					b, _ := io.ReadAll(r.Body)
					want(t, "body arrived", string(b) == body, true)
					r.Body = io.NopCloser(strings.NewReader(request(1, "x")))
					answerBig(w, r, size, stream)
				})
				wantLine(t, "error", f.ask(t, body), "")
				said := f.said()
				want(t, "the response as it was", said[len(said)-1] == bigResult(1, size), true)
				want(t, "turns", len(f.s.turns), 0)
			})
		}
	})
}

// TestFewLargeMessagesAreHeldAtATime holds that the others wait, small ones do
// not, and all arrive.
func TestFewLargeMessagesAreHeldAtATime(t *testing.T) {
	both(t, func(t *testing.T, proto string) {
		const calls = 12
		var held atomic.Int32
		var once sync.Once
		all, small := make(chan bool), make(chan bool)
		f := newFar(t, proto, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Small") != "" {
				answers(200, typeJSON, result(1000))(w, r)
				return
			}
			answerBig(w, r, 2*large, r.Header.Get("X-Stream") != "")
		})
		f.block = func(raw []byte) {
			if len(raw) <= large {
				return
			}
			switch n := held.Add(1); {
			case n > mostLarge:
				t.Errorf("%d at a time", n)
			case n == mostLarge:
				once.Do(func() { close(all) })
			}
			<-small
			held.Add(-1)
		}
		f.s.fields = func(h http.Header, m message) {
			if m.Method == "small" {
				h.Set("X-Small", "1")
			} else if m.ID[len(m.ID)-1]%2 == 0 {
				h.Set("X-Stream", "1")
			}
		}
		var asking sync.WaitGroup
		for id := range calls {
			asking.Go(func() {
				if err := f.ask(t, request(id, "x")); err != nil {
					t.Error(err)
				}
			})
		}
		<-all
		wantLine(t, "a small one meanwhile", f.ask(t, request(1000, "small")), "")
		close(small)
		asking.Wait()
		want(t, "turns", len(f.s.turns), 0)
	})
}

// endless is a body that never ends, and counts what is read of it.
type endless struct {
	begin string
	read  atomic.Int64
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.begin)
	e.begin = e.begin[n:]
	for i := n; i < len(p); i++ {
		p[i] = 'x'
	}
	e.read.Add(int64(len(p)))
	return len(p), nil
}

func (e *endless) Close() error { return nil }

// TestMessageWithoutAnEndIsGivenUp holds that no server makes the bridge hold
// more than it holds of a message.
func TestMessageWithoutAnEndIsGivenUp(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ kind, begin string }{
		"JSON":    {typeJSON, `{"x":"`},
		"event":   {typeStream, "id: 1\ndata: {"},
		"comment": {typeStream, ":"},
		"field":   {typeStream, "x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := &endless{begin: tt.begin}
			n, h := 0, newHeard()
			s := newHTTP(Options{URL: parsed(t, "https://server/mcp"), Route: routeFunc(func(req *http.Request) (*http.Response, error) {
				n++
				return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {tt.kind}}, Body: body}, nil
			})}, h.deliver)
			want(t, "limit", s.most, 64<<20)
			s.most = 1 << 20
			wantLine(t, "error", s.ask(t.Context(), h.call(t.Context(), request(1, "x"))), "more than 64 MiB")
			if read := body.read.Load(); read > int64(s.most+s.most/8) {
				t.Errorf("%d bytes were read", read)
			}
			want(t, "requests", n, 1)
			want(t, "turns", len(s.turns), 0)
			want(t, "said", len(h.said()), 0)
		})
	}
}

// TestEventThatIsTooLargeIsLeftOutOfTheServersOwnStream holds that the stream
// goes on behind it.
func TestEventThatIsTooLargeIsLeftOutOfTheServersOwnStream(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	h := newHeard()
	s := newHTTP(Options{URL: parsed(t, "https://server/mcp"), Log: testLog(t), Route: routeFunc(func(req *http.Request) (*http.Response, error) {
		in := io.MultiReader(io.LimitReader(&endless{begin: "data: \""}, 1<<20+10), strings.NewReader("\n\n"+alive), readerFunc(func([]byte) (int, error) {
			stop()
			return 0, io.EOF
		}))
		return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {typeStream}}, Body: io.NopCloser(in)}, nil
	})}, h.deliver)
	s.most = 1 << 20
	s.listen(ctx)
	wantList(t, "said", h.said(), note)
	want(t, "turns", len(s.turns), 0)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestStreamOfManySmallEventsTakesNoTurn holds that it is the size of a message
// that counts, and not of what was said before.
func TestStreamOfManySmallEventsTakesNoTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := near(t, func(w http.ResponseWriter, r *http.Request) {
			say(w, strings.Repeat(alive, 3*large/len(alive)))
			pause(r.Context(), time.Minute)
			say(w, "data: "+result(1)+"\n\n")
		})
		over := make(chan error)
		go func() { over <- f.ask(t, request(1, "x")) }()
		synctest.Wait()
		want(t, "turns", len(f.s.turns), 0)
		wantLine(t, "error", <-over, "")
		want(t, "messages", len(f.said()), 1+3*large/len(alive))
	})
}

// TestCallThatWaitsForATurnCanBeCancelled holds that nobody waits for those that
// hold a large message longer than for the call.
func TestCallThatWaitsForATurnCanBeCancelled(t *testing.T) {
	t.Parallel()
	for name, stream := range map[string]bool{"JSON": false, "stream": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := near(t, func(w http.ResponseWriter, r *http.Request) { answerBig(w, r, 4*large, stream) })
				for range mostLarge {
					f.s.turns <- struct{}{}
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if err := f.s.ask(ctx, f.call(ctx, request(1, "x"))); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v", err)
				}
				want(t, "turns", len(f.s.turns), mostLarge)
			})
		})
	}
}

// TestManyCallsAtOnceAreAllAnswered holds that calls do not wait for one
// another, and none is lost.
func TestManyCallsAtOnceAreAllAnswered(t *testing.T) {
	t.Parallel()
	const calls = 200
	var here atomic.Int32
	all := make(chan bool)
	f := newFar(t, "HTTP/2.0", func(w http.ResponseWriter, r *http.Request) {
		if here.Add(1) == calls {
			close(all)
		}
		<-all
		b, _ := io.ReadAll(r.Body)
		id := messageOf(string(b)).ID
		text := `{"jsonrpc":"2.0","id":` + string(id) + `,"result":{}}`
		if id[len(id)-1]%2 == 0 {
			say(w, alive+"data: "+text+"\n\n")
			return
		}
		answers(200, typeJSON, text)(w, r)
	})
	var asking sync.WaitGroup
	for id := range calls {
		asking.Go(func() {
			if err := f.ask(t, request(id, "x")); err != nil {
				t.Error(err)
			}
		})
	}
	asking.Wait()
	want(t, "unanswered", len(f.calls), 0)
	want(t, "messages", len(f.said()), calls+calls/2)
}
