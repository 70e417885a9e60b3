package session_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/injectproxy/injectproxy/internal/session"
)

func TestLostSessionIsHealedOnceForTheClient(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		for _, stream := range []bool{false, true} {
			srv := newServer(t, proto)
			srv.stream = stream
			c := newClient(t, srv).begin()
			wantIn(t, "first call", c.call(), "session-1")
			srv.lose()
			n := len(srv.all())
			wantIn(t, "call after the loss", c.call(), "session-2")
			wantList(t, "upstream", srv.methods(n), "tools/call", "initialize", "notifications/initialized", "tools/call")
			wantIn(t, "call after that", c.call(), "session-2")
			wantList(t, "events", c.told(), "accepted", "lost 404", "healed", "replayed")
			want(t, "held", c.memory.Held(), 0)
		}
	})
}

func TestLossIsKnownHoweverTheServerSaysIt(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write([]byte(`{"error":"No valid session ID provided"}`))
	z.Close()
	forms := map[string]func(http.ResponseWriter, json.RawMessage){
		"404 -32001":    notFound(-32001, "Session not found"),
		"404 -32600":    notFound(-32600, "Invalid Request"),
		"404 -32601":    notFound(-32601, "Method not found"),
		"404 text":      says(404, "text/plain", "404 page not found\n"),
		"404 HTML":      says(404, "text/html", "<html><h1>Not Found</h1></html>"),
		"404 empty":     says(404, "", ""),
		"404 large":     says(404, "text/plain", strings.Repeat("x", 200<<10)),
		"400 reference": says(400, "application/json", `{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: No valid session ID provided"},"id":null}`),
		"400 SDK":       says(400, "application/json", `{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: Server not initialized"},"id":null}`),
		"400 unknown":   says(400, "text/plain", "unknown Mcp-Session-Id"),
		"400 example":   says(400, "text/html", "Invalid or missing session ID"),
		"400 invalid":   says(400, "text/html", "<p>INVALID SESSION ID</p>"),
		"400 compressed": func(w http.ResponseWriter, _ json.RawMessage) {
			w.Header().Set("Content-Encoding", "gzip")
			w.WriteHeader(400)
			w.Write(packed.Bytes())
		},
	}
	both(t, func(t *testing.T, proto string) {
		for name, gone := range forms {
			t.Run(name, func(t *testing.T) {
				srv := newServer(t, proto)
				srv.gone = gone
				c := newClient(t, srv).begin()
				srv.lose()
				wantIn(t, "call", c.call(), "session-2")
				wantList(t, "events", c.told(), "accepted", "lost "+name[:3], "healed", "replayed")
			})
		}
	})
}

func TestManyCallsOnALostSessionShareOneRecovery(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		const calls = 100
		srv := newServer(t, proto)
		c := newClient(t, srv).begin()
		srv.lose()
		// No call is refused before all have arrived.
		var arrived sync.WaitGroup
		arrived.Add(calls)
		srv.set(func(s *server) {
			s.delivered = func(d delivery) {
				if d.rpc == "tools/call" && d.session == "session-1" {
					arrived.Done()
					arrived.Wait()
				}
			}
		})
		var all sync.WaitGroup
		for i := range calls {
			all.Go(func() {
				a := c.post(message(i+10, "tools/call", `{}`))
				if a.status != 200 || a.id != c.id || !strings.Contains(a.body, fmt.Sprintf(`"id":%d,`, i+10)) || !strings.Contains(a.body, "session-2") {
					t.Errorf("call %d: %+v", i, a)
				}
			})
		}
		all.Wait()
		want(t, "initialize upstream", srv.count("initialize"), 2)
		want(t, "healed", c.toldOf(session.Healed), 1)
		want(t, "lost", c.toldOf(session.Lost), 1)
		want(t, "replayed", c.toldOf(session.Replayed), calls)
		want(t, "calls upstream", srv.count("tools/call"), 2*calls)
		want(t, "held", c.memory.Held(), 0)
	})
}

func TestSessionsLostTogetherAreAllHealed(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		const clients = 40
		srv := newServer(t, proto)
		c := newClient(t, srv)
		ids := make([]string, clients)
		for i := range ids {
			ids[i] = c.begin().id
		}
		srv.lose()
		var all sync.WaitGroup
		for _, id := range ids {
			all.Go(func() {
				if a := c.post(message(1, "tools/call", ""), "Mcp-Session-Id", id); a.status != 200 || a.id != id {
					t.Errorf("%s: %+v", id, a)
				}
			})
		}
		all.Wait()
		want(t, "initialize upstream", srv.count("initialize"), 2*clients)
		want(t, "suppressed", c.toldOf(session.Suppressed), 0)
	})
}

func TestCallDuringARecoveryWaitsForIt(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		srv := newServer(t, proto)
		came := make(chan struct{}, 10)
		c := newClient(t, srv, func(o *session.Options) {
			o.Owner = func(context.Context) string { came <- struct{}{}; return "" }
		}).begin()
		srv.lose()
		recovering, goOn := make(chan struct{}), make(chan struct{})
		srv.set(func(s *server) {
			s.delivered = func(d delivery) {
				switch {
				case d.rpc == "initialize":
					close(recovering)
					<-goOn
				case d.rpc == "tools/list" && d.session != "session-2":
					t.Errorf("a call was sent in %s during the recovery", d.session)
				}
			}
		})
		var all sync.WaitGroup
		all.Go(func() { c.call() })
		<-recovering
		want(t, "recovering", c.book.Sessions()[0].Recovering, true)
		for len(came) > 0 {
			<-came
		}
		all.Go(func() {
			if a := c.post(message(8, "tools/list", "")); a.status != 200 || !strings.Contains(a.body, "session-2") {
				t.Errorf("second call: %+v", a)
			}
		})
		<-came
		close(goOn)
		all.Wait()
		want(t, "initialize upstream", srv.count("initialize"), 2)
		s := c.book.Sessions()[0]
		want(t, "recoveries", s.Recoveries, 1)
		want(t, "recovering", s.Recovering, false)
		want(t, "version", s.Version, "2025-06-18")
	})
}

func TestRecoverySaysWhatTheClientSaidAndNoMore(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		srv := newServer(t, proto)
		c := newClient(t, srv).begin()
		srv.lose()
		c.post(message(7, "tools/call", ""), "X-Own", "kept", "If-None-Match", "x", "Content-Language", "en", "Last-Event-Id", "9", "Mcp-Method", "tools/call", "Accept", "text/event-stream",
			"Idempotency-Key", "k", "X-Idempotency-Key", "k", "X-Request-Id", "r")
		all := srv.all()
		again, ready, replayed := all[3], all[4], all[5]
		var sent, first struct {
			ID     any
			Params json.RawMessage
		}
		json.Unmarshal([]byte(again.body), &sent)
		json.Unmarshal([]byte(initialize), &first)
		want(t, "params", string(sent.Params), string(first.Params))
		if id, _ := sent.ID.(string); !strings.HasPrefix(id, "injectproxy-") {
			t.Errorf("id %v is not private", sent.ID)
		}
		for name, value := range map[string]string{
			"X-Own": "kept", "If-None-Match": "", "Content-Language": "", "Last-Event-Id": "", "Mcp-Method": "", "Mcp-Session-Id": "", "Mcp-Protocol-Version": "",
			"Idempotency-Key": "", "X-Idempotency-Key": "", "X-Request-Id": "",
			"Accept": "application/json, text/event-stream", "Content-Type": "application/json",
		} {
			want(t, name+" of initialize", again.header.Get(name), value)
		}
		want(t, "session of initialized", ready.session, "session-2")
		want(t, "version of initialized", ready.header.Get("Mcp-Protocol-Version"), "2025-06-18")
		want(t, "the message", replayed.body, all[2].body)
		want(t, "Accept of the message", replayed.header.Get("Accept"), "text/event-stream")
		want(t, "ETag of the message", replayed.header.Get("If-None-Match"), "x")
	})
}

func TestServerThatHasNoSessionsAnyMoreIsSentNoID(t *testing.T) {
	t.Parallel()
	srv := newServer(t, "HTTP/1.1")
	c := newClient(t, srv).begin()
	srv.set(func(s *server) { s.noID = true; clear(s.live) })
	a := c.post(message(7, "tools/call", ""))
	want(t, "status", a.status, 200)
	wantIn(t, "answer", a.body, `"session":""`)
}

func TestServerThatRenamesItsSessionIsFollowed(t *testing.T) {
	t.Parallel()
	srv := newServer(t, "HTTP/1.1")
	c := newClient(t, srv).begin()
	srv.set(func(s *server) {
		s.before = func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
			w.Header().Set("Mcp-Session-Id", r.Header.Get("Mcp-Session-Id")+"x")
			return true
		}
	})
	want(t, "the client's id", c.post(message(1, "ping", "")).id, "session-1")
	c.post(message(2, "ping", ""))
	all := srv.all()
	want(t, "id of the next", all[len(all)-1].session, "session-1x")
}

func TestEveryAnswerHasTheClientsID(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		srv := newServer(t, proto)
		c := newClient(t, srv).begin()
		srv.lose()
		c.call()
		srv.set(func(s *server) {
			s.before = func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
				w.Header().Set("Mcp-Session-Id", r.Header.Get("Mcp-Session-Id"))
				w.WriteHeader(http.StatusTeapot)
				return true
			}
		})
		for _, method := range []string{"POST", "GET", "PUT", "OPTIONS", "DELETE"} {
			a := c.send(c.request(method, message(1, "ping", "")))
			want(t, method+" status", a.status, http.StatusTeapot)
			want(t, method+" id", a.id, c.id)
			all := srv.all()
			want(t, method+" id upstream", all[len(all)-1].session, "session-2")
		}
	})
}

func TestRequestOfTheCallerIsNotChanged(t *testing.T) {
	t.Parallel()
	srv := newServer(t, "HTTP/1.1")
	c := newClient(t, srv).begin()
	srv.lose()
	c.call()
	req := c.request("POST", message(1, "ping", ""))
	body, header := req.Body, fmt.Sprint(req.Header)
	c.send(req)
	if req.Body != body || fmt.Sprint(req.Header) != header {
		t.Errorf("%v, was %s", req.Header, header)
	}
}

func TestSessionThatBeganWithACompressedAnswerIsHealed(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		srv := newServer(t, proto)
		srv.before = func(w http.ResponseWriter, r *http.Request, b []byte) bool {
			if !bytes.Contains(b, []byte(`"initialize"`)) || bytes.Contains(b, []byte("injectproxy-")) {
				return false
			}
			w.Header().Set("Content-Encoding", "br")
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Mcp-Session-Id", "session-0")
			srv.set(func(s *server) { s.live["session-0"] = true })
			w.Write([]byte("?"))
			return true
		}
		c := newClient(t, srv).begin() // whose second message names the version
		want(t, "version", c.book.Sessions()[0].Version, "2025-06-18")
		srv.lose()
		wantIn(t, "call", c.call(), "session-1")
	})
}

func TestLargeAnswerToInitializeIsPassedAndRemembered(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		for name, size := range map[string]int{"within the bound": 200 << 10, "beyond it": 300 << 10} {
			srv := newServer(t, proto)
			srv.before = func(w http.ResponseWriter, r *http.Request, b []byte) bool {
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("Mcp-Session-Id", "s")
				fmt.Fprintf(w, `{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18","instructions":%q}}`, strings.Repeat("x", size))
				return true
			}
			c := newClient(t, srv)
			if a := c.post(initialize); a.status != 200 || len(a.body) < size {
				t.Errorf("%s: status %d, %d bytes", name, a.status, len(a.body))
			}
			want(t, name+": sessions", len(c.book.Sessions()), 1)
			want(t, name+": the version is known", c.book.Sessions()[0].Version != "", name == "within the bound")
		}
	})
}

func TestAnswerOfTheLostSessionDoesNotBringItsIDBack(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		srv := newServer(t, proto)
		c := newClient(t, srv).begin()
		inFlight, goOn := make(chan struct{}), make(chan struct{})
		srv.set(func(s *server) {
			s.before = func(w http.ResponseWriter, r *http.Request, b []byte) bool {
				if !bytes.Contains(b, []byte("slow")) {
					return false
				}
				close(inFlight)
				<-goOn
				w.Header().Set("Mcp-Session-Id", "session-1")
				return true
			}
		})
		var all sync.WaitGroup
		all.Go(func() { want(t, "id of the slow call", c.post(message(1, "slow", "")).id, c.id) })
		<-inFlight
		srv.lose()
		c.call()
		close(goOn)
		all.Wait()
		n := len(srv.all())
		wantIn(t, "call after it", c.call(), "session-2")
		wantList(t, "upstream", srv.methods(n), "tools/call")
	})
}
