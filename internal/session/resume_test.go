package session_test

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/session"
)

// A client that left its stream comes back with the last event it has.
func TestHeldStreamThatItsClientResumesIsHeldAgain(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		srv := newServer(t, proto)
		opened := make(chan string, 10)
		srv.get = func(w http.ResponseWriter, r *http.Request) {
			last := r.Header.Get("Last-Event-Id")
			opened <- last
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, "id: after"+last+"\ndata: news\n\n")
			http.NewResponseController(w).Flush()
			if last != "after" { // what the client has resumed is cut once
				<-r.Context().Done()
			}
		}
		c := newClient(t, srv).begin()
		l := c.listen()
		want(t, "event", l.next(), "news")
		want(t, "last event of the first", <-opened, "")
		l.res.Body.Close()
		l = c.listen("Last-Event-Id", "after")
		want(t, "event", l.next(), "news")
		want(t, "last event of the second", <-opened, "after")
		want(t, "event of the next leg", l.next(), "news")
		want(t, "last event of the next leg", <-opened, "afterafter")
	})
}

// The server may close the stream of a call at which it is at work, for the
// client to come back.
func TestResumedCallIsInFlight(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		srv := newServer(t, proto)
		answer := make(chan string)
		srv.streaming(answer)
		c := newClient(t, srv).begin()
		c.chain = c.route(srv.Client().Transport, func(o *session.Options) { o.Hard = time.Nanosecond })
		l := c.listen("Last-Event-Id", "9")
		want(t, "event", l.next(), "hello session-19")
		wantIn(t, "call beside it", c.call(), "session-1")
		answer <- "data: done\n\n"
		want(t, "event", l.next(), "done")
		l.res.Body.Close()
		wantIn(t, "call after it", c.call(), "session-2")
	})
}

// Who waits for the response to a call has no use for a stream that does not
// have it, and would wait for ever.
func TestWhatFollowsAnEventOfALostSessionIsNotThere(t *testing.T) {
	t.Parallel()
	exact := func(o *session.Options) { o.Exact = true }
	both(t, func(t *testing.T, proto string) {
		srv := newServer(t, proto)
		srv.streaming(nil)
		c := newClient(t, srv, exact).begin()
		l := c.listen("Last-Event-Id", "7")
		want(t, "event while the session stands", l.next(), "hello session-17")
		l.res.Body.Close()
		srv.lose()
		want(t, "status at the server that has lost it", c.send(c.request("GET", "", "Last-Event-Id", "8")).status, 404)
		wantIn(t, "call", c.call(), "session-2")
		n := len(srv.all())
		want(t, "status in the next session", c.send(c.request("GET", "", "Last-Event-Id", "9")).status, 404)
		wantList(t, "upstream", srv.methods(n))
		want(t, "streams", c.book.Sessions()[0].Streams, 0)
		l = c.listen()
		want(t, "first event of a stream that resumes nothing", l.next(), listChanged)
		want(t, "second event", l.next(), "hello session-2")
	})
}
