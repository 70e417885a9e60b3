package stdio

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/injectproxy/injectproxy/internal/eventstream"
	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// oldBy returns the older transport over a Route, and what it delivers.
func oldBy(t *testing.T, route http.RoundTripper) (*sse, *[]string) {
	t.Helper()
	heard := &[]string{}
	s := newSSE(Options{URL: parsed(t, "https://mcp.example/sse"), Route: route, Log: testLog(t)}, func(raw []byte, _ *call) error {
		*heard = append(*heard, string(raw))
		return nil
	})
	t.Cleanup(func() { s.end(context.Background()) })
	return s, heard
}

// standingOn returns a stream of s whose endpoint is known, and that nobody reads.
func standingOn(t *testing.T, s *sse) *stream {
	t.Helper()
	st := &stream{s: s, pace: &pace{}, named: make(chan struct{}), lost: make(chan struct{}), own: map[string]*response{}, post: newHTTP(s.o, s.deliver)}
	st.ctx, st.drop = context.WithCancelCause(s.ctx)
	t.Cleanup(func() { st.drop(nil) })
	close(st.named)
	return st
}

func answered(status int, kind, body string) routeFunc {
	return func(req *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(strings.NewReader(body)), Request: req}, nil
	}
}

func TestEventsOfAStreamAreTakenForWhatTheyAre(t *testing.T) {
	t.Parallel()
	m := func(name, data string) eventstream.Event {
		return eventstream.Event{Name: []byte(name), Data: []byte(data)}
	}
	s, heard := oldBy(t, answered(500, "", ""))
	st := standingOn(t, s)
	for _, e := range []eventstream.Event{m("", result(1)), m("message", result(2)), m("ping", result(3)), m("Message", result(4)), m("", "")} {
		st.event(s.o.URL, e)
	}
	wantList(t, "delivered", *heard, result(1), result(2))
	for _, id := range []struct{ said, then string }{{"a-1", "a-1"}, {"b\n2", ""}, {"c-3", "c-3"}, {"", ""}, {strings.Repeat("x", mostEventID+1), ""}} {
		st.event(s.o.URL, eventstream.Event{HasID: true, ID: []byte(id.said)})
		want(t, "last event", s.last, id.then)
	}
	st.event(s.o.URL, eventstream.Event{HasRetry: true, Retry: 7 * time.Second})
	want(t, "wish", *st.pace, pace{said: true, retry: 7 * time.Second})
	st.event(s.o.URL, eventstream.Event{HasRetry: true, Retry: time.Hour})
	want(t, "wish", *st.pace, pace{said: true, retry: mostPause})
	part := m("", result(5))
	part.Part = true
	st.event(s.o.URL, part)
	want(t, "end of the stream", fmt.Sprint(st.why()), tooLarge().line)
	want(t, "delivered", len(*heard), 2)
}

func TestRefusalThatSpeaksOfTheStreamIsToldFromOthers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		status int
		body   string
		want   bool
	}{
		{404, "", true}, {404, "no such tool", true}, {404, strings.Repeat("x", 10<<10), true},
		{400, "No transport found for sessionId", true}, {400, "Session not found", true}, {400, "Could not find session", true},
		{400, "Invalid session ID", true}, {400, "Bad Request: No valid session ID provided", true}, {400, `{"error":"unknown session"}`, true},
		{400, "SESSION CLOSED", true}, {400, "expired session", true},
		{400, "", false}, {400, "no such tool", false}, {400, "Session not found" + strings.Repeat(" ", mostStale), false},
		{401, "Invalid session", false}, {403, "Session not found", false}, {500, "Session not found", false}, {410, "Session not found", false},
	} {
		want(t, fmt.Sprintf("%d %.40q", tt.status, tt.body), stale(&refusal{status: tt.status, body: []byte(tt.body)}), tt.want)
	}
	want(t, "wrapped", stale(fmt.Errorf("x: %w", &refusal{status: 404})), false)
}

// TestSendingEndsWithWhatItIsFor holds what is waited for, and how long, when a
// server is slow to say that it has taken a message.
func TestSendingEndsWithWhatItIsFor(t *testing.T) {
	t.Parallel()
	slow := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	why, own := errors.New("why"), errors.New("own")
	closed := make(chan struct{})
	close(closed)
	for name, tt := range map[string]struct {
		answered, lost, cancelled bool
		send                      func(context.Context) error
		want                      string
		takes                     time.Duration
	}{
		"answered":                  {answered: true, send: slow, want: "<nil>", takes: grace},
		"answered and refused":      {answered: true, send: func(context.Context) error { return own }, want: "<nil>"},
		"lost":                      {lost: true, send: slow, want: broke(nil).line, takes: grace},
		"lost once it is sent":      {lost: true, send: func(context.Context) error { return nil }, want: broke(nil).line},
		"withdrawn":                 {cancelled: true, send: slow, want: "why"},
		"withdrawn once it is sent": {cancelled: true, send: func(context.Context) error { return nil }, want: "why"},
		"refused":                   {send: func(context.Context) error { return own }, want: "own"},
		"refused on a lost one":     {lost: true, send: func(context.Context) error { return own }, want: "own"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, _ := oldBy(t, answered(500, "", ""))
				st := standingOn(t, s)
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				wait := make(chan struct{})
				if tt.answered {
					wait = closed
				}
				if tt.lost {
					st.drop(errEnded)
					close(st.lost)
				}
				if tt.cancelled {
					cancel(why)
				}
				begun := time.Now()
				err := st.await(ctx, wait, tt.send)
				want(t, "error", fmt.Sprint(err), tt.want)
				want(t, "took", time.Since(begun), tt.takes)
			})
		})
	}
}

// TestMessageThatWasTakenIsTaken holds that a message that the server has taken
// is not said to have failed because nobody waits any more.
func TestMessageThatWasTakenIsTaken(t *testing.T) {
	t.Parallel()
	s, _ := oldBy(t, answered(500, "", ""))
	ctx, cancel := context.WithCancel(t.Context())
	if err := standingOn(t, s).bounded(ctx, nil, func(context.Context) error { cancel(); return nil }); err != nil {
		t.Error(err)
	}
}

// TestOnlyAResponseComesWithWhatTheServerTakes is the table of the answers to a
// POST whose body is looked at.
func TestOnlyAResponseComesWithWhatTheServerTakes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		said         string
		status       int
		kind, coding string
		want         bool
	}{
		{request(1, "x"), 200, typeJSON, "", true}, {request(1, "x"), 200, typeJSON, "identity", true},
		{saidBegun, 200, typeJSON, "", false}, {result(1), 200, typeJSON, "", false},
		{request(1, "x"), 202, typeJSON, "", false}, {request(1, "x"), 200, "text/plain", "", false}, {request(1, "x"), 200, typeJSON, "gzip", false},
	} {
		s, heard := oldBy(t, routeFunc(func(req *http.Request) (*http.Response, error) {
			res, err := answered(tt.status, tt.kind, result(1))(req)
			if tt.coding != "" {
				res.Header.Set("Content-Encoding", tt.coding)
			}
			return res, err
		}))
		c := newCall(t.Context(), messageOf(tt.said))
		if err := standingOn(t, s).send(t.Context(), c.message, c); err != nil {
			t.Errorf("%+v: %v", tt, err)
		}
		want(t, fmt.Sprintf("%+v", tt), len(*heard) == 1, tt.want)
		want(t, "is sent", isClosed(c.sent), true) // though the Route tells nobody when
	}
}

// TestRequestThatCannotBeSentHoldsNobodyUp holds that what waits until a request
// has left goes on.
func TestRequestThatCannotBeSentHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	s, _ := oldBy(t, routeFunc(func(*http.Request) (*http.Response, error) { return nil, errors.New("away") }))
	c := newCall(t.Context(), messageOf(beginOld))
	want(t, "error", fmt.Sprint(s.ask(t.Context(), c)), "away")
	want(t, "is over", isClosed(c.sent), true)
}

// TestRequestHasLeftBeforeItIsAnswered holds that what concerns it need not wait
// until the server has taken it.
func TestRequestHasLeftBeforeItIsAnswered(t *testing.T) {
	t.Parallel()
	a := newAged()
	hold := make(chan struct{})
	a.posted = func(_ http.ResponseWriter, _ int, m message) bool {
		if m.Method == "tools/call" {
			<-hold
		}
		return false
	}
	c, _ := bridge(t, a, "/sse", SSE)
	c.begin(a)
	c.say(ask("1", "tools/call"))
	a.saw(t, "1 GET", "1 initialize", "1 notifications/initialized", "1 tools/call")
	c.say(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`)
	a.saw(t, "1 notifications/cancelled")
	close(hold)
}

func TestArrayOnAStreamIsReadMessageByMessage(t *testing.T) {
	t.Parallel()
	s, heard := oldBy(t, answered(500, "", ""))
	st := standingOn(t, s)
	mine := &response{done: make(chan struct{})}
	defer st.expect(keyOf(json.RawMessage(`"mine"`)), mine)()
	own := `{"jsonrpc":"2.0","id":"mine","result":{}}`
	st.take([]byte(` [`+own+`,`+toolsChanged+`,`+own+`] `), nil) // the second is not waited for by anybody
	wantList(t, "delivered", *heard, toolsChanged, own)
	want(t, "the bridge's own", isClosed(mine.done), true)
	for _, broken := range []string{"[" + toolsChanged + ",", "[" + toolsChanged + "] []"} {
		*heard = nil
		st.take([]byte(broken), nil)
		wantList(t, "delivered", *heard, broken) // which the bridge refuses as a whole
	}
}

func TestWhatIsKeptOfAStreamDoesNotChange(t *testing.T) {
	t.Parallel()
	s, _ := oldBy(t, answered(500, "", ""))
	st := standingOn(t, s)
	mine := &response{done: make(chan struct{})}
	defer st.expect("k", mine)()
	raw := []byte(`{"a":1}`)
	st.settle("k", jsonrpc.Message{Result: raw})
	copy(raw, bytes.Repeat([]byte("x"), len(raw)))
	want(t, "result", string(mine.message.Result), `{"a":1}`)
}

// TestOnlyTheResponseToAnInitializeIsTakenForOne holds that a server cannot
// change the session with another.
func TestOnlyTheResponseToAnInitializeIsTakenForOne(t *testing.T) {
	t.Parallel()
	s, _ := oldBy(t, answered(500, "", ""))
	st := standingOn(t, s)
	st.greeting.Store(newCall(t.Context(), messageOf(beginOld)))
	for _, m := range []string{initialized(7, "2024-11-05"), strings.Replace(result(0), "{}", `{"protocolVersion":"a b"}`, 1), `{"jsonrpc":"2.0","id":0,"error":{"code":1,"message":"no"}}`} {
		st.heed([]byte(m))
		want(t, m, s.memory.params == nil, true)
	}
	st.heed([]byte(initialized(0, "2024-11-05")))
	want(t, "version", s.memory.version, "2024-11-05")
	c := newCall(t.Context(), messageOf(beginOld))
	c.settle()
	if err := st.ask(t.Context(), c); err != nil {
		t.Error(err)
	}
	want(t, "is none any more", st.greeting.Load() == nil, true)
}

// TestAnswerThatIsNoStreamIsClosed holds that nothing is left of it.
func TestAnswerThatIsNoStreamIsClosed(t *testing.T) {
	t.Parallel()
	for kind, body := range map[string]string{"text/html": "<html>", typeStream: "event: endpoint\ndata: //evil.example/\n\n", typeStream + "; x": ": hello\n\n"} {
		var res *http.Response
		s, _ := oldBy(t, routeFunc(func(req *http.Request) (*http.Response, error) {
			r, err := answered(200, kind, body)(req)
			r.Body = &watched{Reader: r.Body}
			res = r
			return r, err
		}))
		if _, err := s.ready(t.Context()); err == nil {
			t.Error("a stream has come of ", body)
		}
		want(t, "closed", res.Body.(*watched).closed.Load(), true)
	}
}

type watched struct {
	io.Reader
	closed atomic.Bool
}

func (w *watched) Close() error { w.closed.Store(true); return nil }

// TestNobodyWaitsForAStreamLongerThanItMatters holds that for those who withdraw,
// and for the end, with a Route that does not let go.
func TestNobodyWaitsForAStreamLongerThanItMatters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		free, asked := make(chan struct{}), atomic.Int32{}
		s, _ := oldBy(t, routeFunc(func(*http.Request) (*http.Response, error) {
			asked.Add(1)
			<-free
			return nil, errors.New("away")
		}))
		why := errors.New("why")
		ctx, withdraw := context.WithCancelCause(t.Context())
		got := make(chan error, 3)
		go func() { _, err := s.ready(ctx); got <- err }()
		synctest.Wait()
		withdraw(why)
		want(t, "who has withdrawn", <-got, why)
		go func() { _, err := s.ready(t.Context()); got <- err }()
		synctest.Wait()
		over, stop := context.WithCancelCause(t.Context())
		stop(why)
		want(t, "end in time", s.end(over), why)
		want(t, "who waits at the end", <-got, errBridge)
		close(free)
		want(t, "end", s.end(t.Context()), nil)
		want(t, "keeper has ended", isClosed(s.over), true)
		want(t, "asked", asked.Load(), 1)
	})
}

func TestTransportThatNobodyUsedEndsAtOnce(t *testing.T) {
	t.Parallel()
	s, _ := oldBy(t, answered(500, "", ""))
	want(t, "end", s.end(t.Context()), nil)
}

// TestThoseWhoWaitShareOneTry holds that a second one who waits is no reason for a
// second try when both have been told.
func TestThoseWhoWaitShareOneTry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		free, asked := make(chan struct{}), atomic.Int32{}
		s, _ := oldBy(t, routeFunc(func(*http.Request) (*http.Response, error) {
			asked.Add(1)
			<-free
			return nil, errors.New("away")
		}))
		got := make(chan error, 2)
		for range 2 {
			go func() { _, err := s.ready(t.Context()); got <- err }()
			synctest.Wait()
		}
		close(free)
		want(t, "the one", fmt.Sprint(<-got), "away")
		want(t, "the other", fmt.Sprint(<-got), "away")
		time.Sleep(time.Hour)
		want(t, "asked", asked.Load(), 1)
		s.end(t.Context())
	})
}

// TestReplyWithoutAnIDTakesNobodysPlace holds that it is not taken for that to
// the server's request 0.
func TestReplyWithoutAnIDTakesNobodysPlace(t *testing.T) {
	t.Parallel()
	var sent []string
	s, _ := oldBy(t, routeFunc(func(req *http.Request) (*http.Response, error) {
		body, _ := io.ReadAll(req.Body)
		sent = append(sent, string(body))
		return answered(202, "", "")(req)
	}))
	st := standingOn(t, s)
	s.stream = st
	st.heed([]byte(request(0, "roots/list")))
	for _, m := range []string{`{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"what"}}`, result(0)} {
		if err := s.tell(t.Context(), messageOf(m)); err != nil {
			t.Error(err)
		}
	}
	wantList(t, "sent", sent, result(0))
}
