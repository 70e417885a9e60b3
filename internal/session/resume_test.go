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
