package session_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/session"
)

// streaming has a server answer a GET with a stream that says so, then what
// comes over the channel, until that is closed or the session is lost.
func (s *server) streaming(say <-chan string) {
	s.set(func(s *server) {
		s.get = func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.Header().Set("Mcp-Session-Id", r.Header.Get("Mcp-Session-Id"))
			io.WriteString(w, "data: hello "+r.Header.Get("Mcp-Session-Id")+r.Header.Get("Last-Event-Id")+"\n\n")
			http.NewResponseController(w).Flush()
			for {
				select {
				case text, ok := <-say:
					if !ok {
						return
					}
					io.WriteString(w, text)
					http.NewResponseController(w).Flush()
				case <-r.Context().Done():
					return
				}
			}
		}
	})
}

// listener is a client's open stream.
type listener struct {
	t   *testing.T
	res *http.Response
	r   *bufio.Reader
}

func (c *client) listen(header ...string) *listener {
	c.t.Helper()
	ctx, leave := context.WithCancel(c.t.Context())
	res, err := c.chain.RoundTrip(c.request("GET", "", header...).WithContext(ctx))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { leave(); res.Body.Close() })
	return &listener{c.t, res, bufio.NewReader(res.Body)}
}

// next returns the data of the next event.
func (l *listener) next() string {
	l.t.Helper()
	for {
		line, err := l.r.ReadString('\n')
		if err != nil {
			return err.Error()
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			return strings.TrimSpace(data)
		}
	}
}

const listChanged = `{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`

func TestHeldStreamFollowsItsSession(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		srv := newServer(t, proto)
		say := make(chan string)
		srv.streaming(say)
		c := newClient(t, srv, restless).begin()
		l := c.listen()
		want(t, "status", l.res.StatusCode, 200)
		want(t, "id", l.res.Header.Get("Mcp-Session-Id"), c.id)
		want(t, "first event", l.next(), "hello session-1")
		say <- "data: news\n\n"
		want(t, "second event", l.next(), "news")
		want(t, "streams", c.book.Sessions()[0].Streams, 1)
		// A call finds the loss: the stream leaves the lost session with it.
		srv.lose()
		c.call()
		want(t, "notification", l.next(), listChanged)
		want(t, "event of the next session", l.next(), "hello session-2")
		// The stream's own end finds the loss.
		srv.lose()
		say <- "data: last\n\n"
		want(t, "last event", l.next(), "last")
		close(say)
		want(t, "notification", l.next(), listChanged)
		wantIn(t, "event of the third session", l.next(), "hello session-3")
		wantIn(t, "call", c.call(), "session-3")
		want(t, "initialize upstream", srv.count("initialize"), 3)
		l.res.Body.Close()
		want(t, "streams", c.book.Sessions()[0].Streams, 0)
	})
}

func TestStreamOfALostSessionIsOpenedInTheNext(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		srv := newServer(t, proto)
		srv.streaming(nil)
		c := newClient(t, srv).begin()
		srv.lose()
		l := c.listen("Last-Event-Id", "99") // it belongs to the lost one
		want(t, "status", l.res.StatusCode, 200)
		want(t, "id", l.res.Header.Get("Mcp-Session-Id"), c.id)
		var got []string
		for range 2 {
			got = append(got, l.next())
		}
		wantIn(t, "events", strings.Join(got, " "), "hello session-2")
		wantIn(t, "events", strings.Join(got, " "), listChanged)
		wantList(t, "events", c.told(), "accepted", "lost 404", "healed", "replayed")
	})
}

func TestStreamThatComesAfterTheHealingTellsOfIt(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		srv := newServer(t, proto)
		srv.streaming(nil)
		c := newClient(t, srv).begin()
		srv.lose()
		c.call()
		l := c.listen()
		want(t, "first event", l.next(), listChanged)
		want(t, "second event", l.next(), "hello session-2")
		l.res.Body.Close()
		want(t, "first event of the next stream", c.listen().next(), "hello session-2")
	})
}

func TestHeldStreamFollowsAReset(t *testing.T) {
	t.Parallel()
	srv := newServer(t, "HTTP/2.0")
	srv.streaming(nil)
	c := newClient(t, srv, func(o *session.Options) { o.Light, o.Hard = time.Millisecond, time.Nanosecond }).begin()
	l := c.listen()
	sessions := map[string]bool{}
	for len(sessions) < 3 {
		if event := l.next(); strings.HasPrefix(event, "hello") {
			sessions[event] = true
		} else if event != listChanged {
			t.Fatal(event)
		}
	}
	l.res.Body.Close()
	want(t, "lost", c.toldOf(session.Lost), 0)
}

func TestServerWithoutAStreamForGETIsAskedBeforeItIsHealed(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		srv := newServer(t, proto)
		srv.get = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }
		c := newClient(t, srv).begin()
		n := len(srv.all())
		want(t, "status", c.send(c.request("GET", "")).status, 404)
		wantList(t, "upstream", srv.methods(n), "GET", "ping")
		wantIn(t, "the session", c.call(), "session-1")
		srv.lose()
		n = len(srv.all())
		want(t, "status", c.send(c.request("GET", "")).status, 404)
		wantList(t, "upstream", srv.methods(n), "GET", "ping", "initialize", "notifications/initialized", "GET")
	})
}

func TestServerThatHadAStreamIsNotAsked(t *testing.T) {
	t.Parallel()
	srv := newServer(t, "HTTP/1.1")
	srv.streaming(nil)
	c := newClient(t, srv).begin()
	c.listen().res.Body.Close()
	srv.lose()
	n := len(srv.all())
	c.listen()
	wantList(t, "upstream", srv.methods(n), "GET", "initialize", "notifications/initialized", "GET")
}

func TestResumedStreamPassesAsItIs(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		srv := newServer(t, proto)
		end := make(chan string)
		srv.streaming(end)
		c := newClient(t, srv).begin()
		l := c.listen("Last-Event-Id", "9")
		want(t, "event", l.next(), "hello session-19")
		want(t, "streams", c.book.Sessions()[0].Streams, 1)
		close(end)
		want(t, "the end", l.next(), "EOF")
		l.res.Body.Close()
		want(t, "GET upstream", srv.count("GET"), 1)
	})
}

func TestEventsOfTheLostSessionAreNotResumedInTheNext(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		srv := newServer(t, proto)
		srv.streaming(nil)
		c := newClient(t, srv).begin()
		srv.lose()
		srv.set(func(s *server) { s.stream = true }) // its events have the id 1
		c.call()
		l := c.listen("Last-Event-Id", "8")
		for got := l.next(); ; got = l.next() {
			if strings.HasPrefix(got, "hello") {
				want(t, "event without resumption", got, "hello session-2")
				break
			}
		}
		want(t, "event with resumption", c.listen("Last-Event-Id", "1").next(), "hello session-21")
	})
}

func TestPingFindsTheLossWhereItIsConfigured(t *testing.T) {
	t.Parallel()
	for _, ping := range []bool{false, true} {
		srv := newServer(t, "HTTP/1.1")
		srv.streaming(nil)
		pinged := make(chan struct{}, 100)
		srv.delivered = func(d delivery) {
			if d.rpc == "ping" {
				pinged <- struct{}{}
			}
		}
		c := newClient(t, srv, func(o *session.Options) { o.Ping, o.Light = ping, time.Millisecond }).begin()
		l := c.listen()
		want(t, "first event", l.next(), "hello session-1")
		if !ping {
			want(t, "pings", srv.count("ping"), 0)
			l.res.Body.Close()
			continue
		}
		<-pinged
		srv.lose() // the stream stands, and says nothing
		want(t, "notification", l.next(), listChanged)
		want(t, "event of the next session", l.next(), "hello session-2")
		l.res.Body.Close()
	}
}

func TestSessionIsReplacedOnItsCadenceWhileNothingIsInFlight(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		srv := newServer(t, proto)
		ended := make(chan string, 1)
		inFlight, goOn := make(chan struct{}), make(chan struct{})
		srv.delivered = func(d delivery) {
			switch {
			case d.method == "DELETE":
				ended <- d.session
			case d.rpc == "slow":
				close(inFlight)
				<-goOn
			}
		}
		var hard time.Duration
		o := func(o *session.Options) { o.Hard = hard }
		c := newClient(t, srv, o).begin()
		done := make(chan answer)
		go func() { done <- c.post(message(1, "slow", "")) }()
		<-inFlight
		hard = time.Nanosecond
		c.chain = c.route(srv.Client().Transport, o)
		wantIn(t, "call beside another", c.call(), "session-1")
		close(goOn)
		wantIn(t, "the other", (<-done).body, "session-1")
		wantIn(t, "call alone", c.call(), "session-2")
		want(t, "session that was ended", <-ended, "session-1")
		want(t, "lost", c.toldOf(session.Lost), 0)
		// A reset that fails changes nothing.
		srv.set(func(s *server) {
			s.before = func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
				if r.Header.Get("Mcp-Session-Id") != "" {
					return false
				}
				w.WriteHeader(503)
				return true
			}
		})
		wantIn(t, "call after a reset that failed", c.call(), "session-2")
		wantList(t, "events", c.told(), "accepted", "healed", "failed refused")
	})
}
