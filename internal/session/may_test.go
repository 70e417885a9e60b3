package session_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/session"
)

// only lets a route send requests of these methods.
func only(methods ...string) func(*session.Options) {
	return func(o *session.Options) {
		o.May = func(method string) bool { return slices.Contains(methods, method) }
	}
}

func TestWhereNoMessageMayBeSentALossIsLeftToTheNextCall(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		srv := newServer(t, proto)
		srv.streaming(nil)
		c := newClient(t, srv).begin()
		listens := c.twin()
		listens.chain = c.route(srv.Client().Transport, only("GET"), func(o *session.Options) {
			o.Light, o.Ping, o.Hard = time.Millisecond, true, time.Nanosecond
		})
		n := len(srv.all())
		l := listens.listen()
		want(t, "event", l.next(), "hello session-1")
		srv.lose()
		want(t, "status", listens.send(listens.request("GET", "")).status, 404)
		for _, method := range srv.methods(n) {
			want(t, "method of what was sent", method, "GET")
		}
		c.call()
		want(t, "notification", l.next(), listChanged)
		want(t, "event of the next session", l.next(), "hello session-2")
	})
}

func TestHeldStreamWaitsForACallThatMayHealItsSession(t *testing.T) {
	t.Parallel()
	srv := newServer(t, "HTTP/1.1")
	end, refused := make(chan string), make(chan struct{}, 100)
	srv.streaming(end)
	c := newClient(t, srv).begin()
	listens := c.twin()
	listens.chain = c.route(srv.Client().Transport, only("GET"))
	l := listens.listen()
	want(t, "event", l.next(), "hello session-1")
	srv.lose()
	gone := srv.gone
	srv.set(func(s *server) {
		s.gone = func(w http.ResponseWriter, id json.RawMessage) { refused <- struct{}{}; gone(w, id) }
	})
	close(end)
	srv.streaming(nil)
	got := make(chan string)
	go func() { got <- l.next() }()
	for range 2 { // legs find the session lost
		select {
		case <-refused:
		case event := <-got:
			t.Fatalf("the session was healed before the call: %s", event)
		}
	}
	c.call()
	want(t, "notification", <-got, listChanged)
	want(t, "event of the next session", l.next(), "hello session-2")
}

func TestSessionsAreEndedOnlyWhereThatMayBeSent(t *testing.T) {
	t.Parallel()
	srv := newServer(t, "HTTP/1.1")
	c := newClient(t, srv, only("GET", "POST"), func(o *session.Options) { o.Hard = time.Nanosecond }).begin()
	wantIn(t, "call after a reset", c.call(), "session-3") // one by initialized
	c.book.Close()                                         // which waits for what ends them
	want(t, "DELETE upstream", srv.count("DELETE"), 0)
}
