package session_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/session"
)

// A server that takes the GET of a leg and says nothing keeps no stream in a
// session that has been replaced meanwhile.
func TestLegThatIsNotAnsweredIsGivenUpWhenTheSessionIsRenewed(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		srv := newServer(t, proto)
		var gets atomic.Int32
		hung, cut := make(chan struct{}), make(chan struct{})
		says := func(w http.ResponseWriter, event string) {
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, "data: "+event+"\n\n")
			http.NewResponseController(w).Flush()
		}
		srv.set(func(s *server) {
			s.get = func(w http.ResponseWriter, r *http.Request) {
				switch gets.Add(1) {
				case 1:
					says(w, "one")
					<-cut
				case 2:
					close(hung)
					<-r.Context().Done()
				default:
					says(w, "two")
					<-r.Context().Done()
				}
			}
		})
		c := newClient(t, srv, func(o *session.Options) { o.Light = time.Second }).begin()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		res, err := c.chain.RoundTrip(c.request("GET", "").WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		lines := bufio.NewScanner(res.Body)
		comes := func(event string) {
			t.Helper()
			for lines.Scan() {
				if strings.Contains(lines.Text(), event) {
					return
				}
			}
			t.Fatalf("%q does not come: %v after %d GETs, events %v", event, lines.Err(), gets.Load(), c.told())
		}
		comes("one")
		close(cut)
		read := make(chan struct{})
		go func() { // whoever reads opens the next leg
			defer close(read)
			comes("two")
		}()
		<-hung
		srv.lose()
		c.call()
		<-read
	})
}

// A route that decides no more opens no leg, although a leg may have waited for
// the session.
func TestLegIsNotOpenedUnderARouteThatIsOver(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		srv := newServer(t, proto)
		var gets atomic.Int32
		cut := make(chan struct{})
		srv.set(func(s *server) {
			s.get = func(w http.ResponseWriter, r *http.Request) {
				gets.Add(1)
				w.Header().Set("Content-Type", "text/event-stream")
				io.WriteString(w, "data: one\n\n")
				http.NewResponseController(w).Flush()
				<-cut
			}
		})
		over := make(chan struct{})
		c := newClient(t, srv, func(o *session.Options) { o.Over = over }).begin()
		res, err := c.chain.RoundTrip(c.request("GET", ""))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		close(over)
		close(cut)
		if b, err := io.ReadAll(res.Body); err != nil || string(b) != "data: one\n\n" || gets.Load() != 1 {
			t.Errorf("%q, %v after %d GETs", b, err, gets.Load())
		}
	})
}
