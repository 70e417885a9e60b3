package session_test

import (
	"bytes"
	"net/http"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/session"
)

// resourceless is a server that says 404 of a resource, too.
func resourceless(t *testing.T, proto string) *server {
	srv := newServer(t, proto)
	srv.before = func(w http.ResponseWriter, _ *http.Request, b []byte) bool {
		if !bytes.Contains(b, []byte("resources/read")) {
			return false
		}
		http.Error(w, "no such resource", http.StatusNotFound)
		return true
	}
	return srv
}

func TestMessageThatIsAnswered404IsTakenForALossOnce(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		srv := resourceless(t, proto)
		ended := make(chan string, 10)
		srv.delivered = func(d delivery) {
			if d.rpc == "DELETE" {
				ended <- d.session
			}
		}
		c := newClient(t, srv, restless).begin()
		read := message(5, "resources/read", "")
		want(t, "status", c.post(read).status, 404)
		want(t, "session that was ended", <-ended, "session-1")
		wantList(t, "events", c.told(), "accepted", "lost 404", "healed", "replayed", "failed refused again")
		n := len(srv.all())
		want(t, "status", c.post(read).status, 404)
		wantList(t, "upstream", srv.methods(n), "resources/read", "ping")
		wantIn(t, "call", c.call(), "session-2")
		srv.lose() // as a ping shows
		n = len(srv.all())
		wantIn(t, "call", c.call(), "session-3")
		wantList(t, "upstream", srv.methods(n), "tools/call", "ping", "initialize", "notifications/initialized", "tools/call")
		want(t, "sessions that were ended", len(ended), 0)
	})
}

func TestSessionThatWasPerhapsNotLostIsNotEndedUnderACall(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		srv := resourceless(t, proto)
		c := newClient(t, srv).begin()
		inFlight, goOn := make(chan struct{}), make(chan struct{})
		srv.set(func(s *server) {
			s.delivered = func(d delivery) {
				if d.rpc == "slow" {
					close(inFlight)
					<-goOn
				}
			}
		})
		done := make(chan answer)
		go func() { done <- c.post(message(1, "slow", "")) }()
		<-inFlight
		want(t, "status", c.post(message(5, "resources/read", "")).status, 404)
		close(goOn)
		wantIn(t, "the other call", (<-done).body, "session-1")
		c.book.Close()
		want(t, "DELETE upstream", srv.count("DELETE"), 0)
	})
}

func TestOne404CostsNobodyElse(t *testing.T) {
	t.Parallel()
	srv := resourceless(t, "HTTP/2.0")
	c := newClient(t, srv, func(o *session.Options) { o.Cooldown = time.Hour }).begin()
	other := c.twin()
	other.begin()
	want(t, "status", c.post(message(5, "resources/read", "")).status, 404)
	srv.lose()
	other.call()
	want(t, "status in the session that rests", c.post(message(7, "tools/call", "")).status, 404)
	want(t, "suppressed", c.toldOf(session.Suppressed), 1)
}
