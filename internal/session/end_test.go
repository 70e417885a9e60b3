package session_test

import (
	"net/http"
	"sync"
	"testing"

	"github.com/injectproxy/injectproxy/internal/session"
)

func TestDeletedSessionStaysDeleted(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		for name, tt := range map[string]struct {
			status, sessions int
		}{"200": {200, 0}, "204": {204, 0}, "404": {404, 0}, "405": {405, 1}, "500": {500, 1}} {
			t.Run(name, func(t *testing.T) {
				srv := newServer(t, proto)
				c := newClient(t, srv).begin()
				srv.lose()
				c.call() // healed: the ids differ
				srv.set(func(s *server) {
					s.before = func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
						if r.Method != "DELETE" {
							return false
						}
						w.WriteHeader(tt.status)
						return true
					}
				})
				want(t, "status of DELETE", c.send(c.request("DELETE", "")).status, tt.status)
				all := srv.all()
				want(t, "session that was deleted", all[len(all)-1].session, "session-2")
				want(t, "sessions", len(c.book.Sessions()), tt.sessions)
				if tt.sessions > 0 {
					c.call() // the server did not end it
				}
				srv.lose()
				n := len(srv.all())
				want(t, "status after", c.post(message(1, "tools/call", "")).status, 404)
				want(t, "status of GET after", c.send(c.request("GET", "")).status, 404)
				wantList(t, "upstream", srv.methods(n), "tools/call", "GET")
				want(t, "ended", c.toldOf(session.Ended), 1)
			})
		}
	})
}

func TestSessionDeletedWhileItIsRecoveredIsNotRevived(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		srv := newServer(t, proto)
		c := newClient(t, srv).begin()
		srv.lose()
		recovering, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
		srv.set(func(s *server) {
			s.delivered = func(d delivery) {
				switch {
				case d.rpc == "initialize":
					close(recovering)
					<-goOn
				case d.rpc == "DELETE" && d.session == "session-2":
					close(ended)
				}
			}
		})
		var all sync.WaitGroup
		all.Go(func() {
			want(t, "status of the call", c.post(message(1, "tools/call", "")).status, 404)
		})
		<-recovering
		want(t, "status of DELETE", c.send(c.request("DELETE", "")).status, 404)
		close(goOn)
		all.Wait()
		<-ended // the session that nobody uses
		want(t, "sessions", len(c.book.Sessions()), 0)
		want(t, "calls upstream", srv.count("tools/call"), 1)
		srv.set(func(s *server) { s.delivered = nil })
		c.begin() // nothing rests
		srv.lose()
		c.call()
	})
}

func TestClosedBookRecoversNothing(t *testing.T) {
	t.Parallel()
	srv := newServer(t, "HTTP/1.1")
	c := newClient(t, srv).begin()
	srv.lose()
	c.book.Close()
	n := len(srv.all())
	want(t, "status", c.post(message(1, "tools/call", "")).status, http.StatusNotFound)
	wantList(t, "upstream", srv.methods(n), "tools/call")
}

func TestCloseEndsARecoveryAndWaitsForIt(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		srv := newServer(t, proto)
		c := newClient(t, srv).begin()
		recovering := make(chan struct{})
		srv.set(func(s *server) {
			clear(s.live)
			s.before = func(w http.ResponseWriter, r *http.Request, b []byte) bool {
				if len(s.seen) > 0 && r.Header.Get("Mcp-Session-Id") == "" {
					close(recovering)
					<-r.Context().Done()
				}
				return false
			}
		})
		var all sync.WaitGroup
		all.Go(func() { want(t, "status", c.post(message(1, "tools/call", "")).status, 404) })
		<-recovering
		c.book.Close()
		all.Wait()
		wantList(t, "events", c.told(), "accepted", "lost 404", "failed ended")
	})
}
