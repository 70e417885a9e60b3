package session_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/injectproxy/injectproxy/internal/session"
)

func TestEraWithoutSessionsIsUntouched(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		for name, header := range map[string][]string{
			"new version":               {"Mcp-Protocol-Version", "2026-07-28", "Mcp-Session-Id", ""},
			"new version with an id":    {"Mcp-Protocol-Version", "2026-07-28"},
			"unknown version":           {"Mcp-Protocol-Version", "DRAFT-2026-v1"},
			"no id":                     {"Mcp-Session-Id", ""},
			"an id that is none":        {"Mcp-Session-Id", "session 1"},
			"unknown id":                {"Mcp-Session-Id", "session-99"},
			"an id of another case":     {"Mcp-Session-Id", "SESSION-1"},
			"an id with a space before": {"Mcp-Session-Id", "session-1,session-1"},
		} {
			t.Run(name, func(t *testing.T) {
				srv := newServer(t, proto)
				srv.gone = notFound(-32601, "Method not found")
				c := newClient(t, srv).begin()
				srv.lose()
				n := len(srv.all())
				a := c.post(message(7, "no/such", ""), header...)
				want(t, "status", a.status, 404)
				wantIn(t, "answer", a.body, "-32601")
				wantList(t, "upstream", srv.methods(n), "no/such")
				wantList(t, "events", c.told(), "accepted")
			})
		}
	})
}

func TestSessionOfANewVersionIsNotRemembered(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"2026-07-28", "2027-01-01", "draft", ""} {
		srv := newServer(t, "HTTP/1.1")
		srv.version = version
		c := newClient(t, srv).begin()
		want(t, "sessions", len(c.book.Sessions()), 0)
	}
}

func TestOtherFailuresPassAndAreSentOnce(t *testing.T) {
	t.Parallel()
	failures := map[string]struct {
		do     func(w http.ResponseWriter, r *http.Request)
		status int
	}{
		"500": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no valid session id", 500) }, 500},
		"502": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }, 502},
		"503": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, 503},
		"504": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(504) }, 504},
		"400": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "bad arguments", 400) }, 400},
		"400 of another": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "Bad Request: no such session setting", 400)
		}, 400},
		"403": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "invalid session id", http.StatusForbidden)
		}, 403},
		"410": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(410) }, 410},
		"JSON-RPC": {func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `{"error":{"message":"Invalid session ID"}}`)
		}, 200},
		"reset":      {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0},
		"cut answer": {func(w http.ResponseWriter, _ *http.Request) { cutShort(w, "application/json", `{"jsonrpc":`) }, 200},
		"cut stream": {func(w http.ResponseWriter, _ *http.Request) { cutShort(w, "text/event-stream", "data: x\n\n") }, 200},
		"cut 404 later": {func(w http.ResponseWriter, _ *http.Request) {
			cutShort(w, "text/event-stream", "data: 404 session not found\n\n")
		}, 200},
	}
	both(t, func(t *testing.T, proto string) {
		for name, f := range failures {
			t.Run(name, func(t *testing.T) {
				srv := newServer(t, proto)
				c := newClient(t, srv).begin()
				c.call()
				srv.set(func(s *server) {
					s.before = func(w http.ResponseWriter, r *http.Request, _ []byte) bool { f.do(w, r); return true }
				})
				n := len(srv.all())
				a := c.post(message(7, "tools/call", ""))
				want(t, "status", a.status, f.status)
				if strings.HasPrefix(name, "cut") || name == "reset" {
					if a.err == nil {
						t.Errorf("the client does not see the failure: %+v", a)
					}
				}
				wantList(t, "upstream", srv.methods(n), "tools/call")
				want(t, "healed", c.toldOf(session.Healed), 0)
				want(t, "timed out", c.toldOf(session.TimedOut), map[bool]int{true: 1}[name == "504"])
			})
		}
	})
}

// cutShort answers with part of a body and breaks off.
func cutShort(w http.ResponseWriter, contentType, part string) {
	w.Header().Set("Content-Type", contentType)
	io.WriteString(w, part)
	http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

type failingTrip struct{ err error }

func (f failingTrip) RoundTrip(req *http.Request) (*http.Response, error) {
	req.Body.Close()
	return nil, f.err
}

func TestTimeOutOfAMessageIsTold(t *testing.T) {
	t.Parallel()
	srv := newServer(t, "HTTP/1.1")
	c := newClient(t, srv).begin()
	late := errors.New("late")
	c.chain = c.route(failingTrip{late}, func(o *session.Options) {
		o.Late = func(err error) bool { return errors.Is(err, late) }
	})
	if a := c.post(message(1, "tools/call", "")); !errors.Is(a.err, late) {
		t.Errorf("got %+v", a)
	}
	c.chain = c.route(failingTrip{errors.New("refused")}, func(o *session.Options) {
		o.Late = func(err error) bool { return errors.Is(err, late) }
	})
	c.post(message(1, "tools/call", ""))
	wantList(t, "events", c.told(), "accepted", "timed out")
}

func TestAnotherVersionPassesTheOriginalAnswer(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		srv := newServer(t, proto)
		srv.gone = says(400, "text/plain", "No valid session ID provided: the first")
		c := newClient(t, srv).begin()
		ended := make(chan string, 1)
		srv.set(func(s *server) {
			s.version = "2025-03-26"
			clear(s.live)
			s.delivered = func(d delivery) {
				if d.rpc == "DELETE" {
					ended <- d.session
				}
			}
		})
		n := len(srv.all())
		a := c.post(message(1, "tools/call", ""))
		want(t, "status", a.status, 400)
		wantIn(t, "answer", a.body, "the first")
		want(t, "session that nobody uses and was ended", <-ended, "session-2")
		wantList(t, "upstream", srv.methods(n), "tools/call", "initialize", "DELETE")
		wantList(t, "events", c.told(), "accepted", "lost 400", "failed other version")
	})
}

func TestFailedRecoveryPassesTheOriginalAnswer(t *testing.T) {
	t.Parallel()
	refuse := func(only string, status int) func(http.ResponseWriter, *http.Request, []byte) bool {
		return func(w http.ResponseWriter, _ *http.Request, b []byte) bool {
			if !strings.Contains(string(b), only) {
				return false
			}
			if status == 0 {
				panic(http.ErrAbortHandler)
			}
			w.WriteHeader(status)
			return true
		}
	}
	both(t, func(t *testing.T, proto string) {
		for name, tt := range map[string]struct {
			before func(http.ResponseWriter, *http.Request, []byte) bool
			reason string
			begun  []string // what the server saw of it
		}{
			"initialize 404":    {refuse(`"initialize"`, 404), "refused", []string{"initialize"}},
			"initialize 503":    {refuse(`"initialize"`, 503), "refused", []string{"initialize"}},
			"initialize 401":    {refuse(`"initialize"`, 401), "refused", []string{"initialize"}},
			"initialize reset":  {refuse(`"initialize"`, 0), "no answer", []string{"initialize", "initialize"}},
			"initialize empty":  {refuse(`"initialize"`, 200), "no answer", []string{"initialize"}},
			"initialized 404":   {refuse(`notifications/initialized`, 404), "refused", []string{"initialize", "notifications/initialized"}},
			"initialized reset": {refuse(`notifications/initialized`, 0), "no answer", []string{"initialize", "notifications/initialized", "notifications/initialized"}},
		} {
			t.Run(name, func(t *testing.T) {
				srv := newServer(t, proto)
				srv.gone = says(404, "text/plain", "the first")
				c := newClient(t, srv).begin()
				srv.set(func(s *server) { s.before = tt.before; clear(s.live) })
				n := len(srv.all())
				a := c.post(message(1, "tools/call", ""))
				want(t, "status", a.status, 404)
				want(t, "answer", a.body, "the first")
				wantList(t, "events", c.told(), "accepted", "lost 404", "failed "+tt.reason)
				wantList(t, "upstream", slices.DeleteFunc(srv.methods(n), func(rpc string) bool { return rpc == "DELETE" }), append([]string{"tools/call"}, tt.begun...)...)
			})
		}
	})
}

// A server that restarts closes connections, and a message of the recovery may
// be on its way over one of them.
func TestRecoveryOverAConnectionThatTheServerClosesIsTriedOnAnother(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		for _, only := range []string{`"initialize"`, "notifications/initialized"} {
			t.Run(only, func(t *testing.T) {
				srv := newServer(t, proto)
				c := newClient(t, srv).begin()
				var closed atomic.Bool
				srv.set(func(s *server) {
					clear(s.live)
					s.before = func(_ http.ResponseWriter, _ *http.Request, b []byte) bool {
						if strings.Contains(string(b), only) && closed.CompareAndSwap(false, true) {
							panic(http.ErrAbortHandler)
						}
						return false
					}
				})
				wantIn(t, "call", c.call(), "session-2")
				wantList(t, "events", c.told(), "accepted", "lost 404", "healed", "replayed")
			})
		}
	})
}

func TestWantOfATokenIsABetterAnswerThanTheLoss(t *testing.T) {
	t.Parallel()
	srv := newServer(t, "HTTP/1.1")
	c := newClient(t, srv).begin()
	srv.lose()
	signIn := errors.New("sign in")
	signedIn := false
	next := trip(func(req *http.Request) (*http.Response, error) {
		if req.Header.Get("Mcp-Session-Id") == "" && !signedIn {
			req.Body.Close()
			return nil, signIn
		}
		return srv.Client().Transport.RoundTrip(req)
	})
	c.chain = c.route(next, func(o *session.Options) {
		o.Explains = func(err error) bool { return err == signIn }
	})
	if a := c.post(message(1, "tools/call", "")); a.err != signIn {
		t.Errorf("got %+v", a)
	}
	wantList(t, "events", c.told(), "accepted", "lost 404", "failed no token")
	signedIn = true // and the target has no rest
	c.call()
}

type trip func(*http.Request) (*http.Response, error)

func (f trip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestStreamThatAnswersAMessageIsNotHeldBack(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		srv := newServer(t, proto)
		c := newClient(t, srv).begin()
		for _, healed := range []bool{false, true} {
			if healed {
				srv.lose()
				c.call()
			}
			goOn := make(chan struct{})
			srv.set(func(s *server) {
				s.before = func(w http.ResponseWriter, _ *http.Request, b []byte) bool {
					if !strings.Contains(string(b), "slow") {
						return false
					}
					w.Header().Set("Content-Type", "text/event-stream")
					for _, part := range []string{"data: 1\n\n", "da", "ta: 2\n\n"} {
						io.WriteString(w, part)
						http.NewResponseController(w).Flush()
						<-goOn
					}
					return true
				}
			})
			res, err := c.chain.RoundTrip(c.request("POST", message(1, "slow", "")))
			if err != nil {
				t.Fatal(err)
			}
			r := bufio.NewReader(res.Body)
			for _, part := range []string{"data: 1\n\n", "da", "ta: 2\n\n"} {
				got := make([]byte, len(part))
				io.ReadFull(r, got)
				want(t, "part", string(got), part)
				goOn <- struct{}{}
			}
			res.Body.Close()
		}
	})
}

func TestAnswerToInitializeIsNotHeldBack(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		srv := newServer(t, proto)
		goOn := make(chan struct{})
		result := `data: {"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18","capabilities":{}}}` + "\n\n"
		srv.before = func(w http.ResponseWriter, _ *http.Request, b []byte) bool {
			w.Header().Set("Content-Type", "text/event-stream")
			w.Header().Set("Mcp-Session-Id", "s")
			for _, part := range []string{": x\n", "\n", result} {
				io.WriteString(w, part)
				http.NewResponseController(w).Flush()
				<-goOn
			}
			return true
		}
		c := newClient(t, srv)
		res, err := c.chain.RoundTrip(c.request("POST", initialize))
		if err != nil {
			t.Fatal(err)
		}
		for i, part := range []string{": x\n", "\n", result} {
			want(t, "sessions before", len(c.book.Sessions()), 0)
			got := make([]byte, len(part))
			io.ReadFull(res.Body, got)
			want(t, "part", string(got), part)
			want(t, "sessions after", len(c.book.Sessions()), i/2)
			goOn <- struct{}{}
		}
		res.Body.Close()
	})
}

func TestClientThatLeavesDoesNotEndTheRecoveryOfOthers(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		srv := newServer(t, proto)
		c := newClient(t, srv).begin()
		srv.lose()
		recovering, goOn := make(chan struct{}), make(chan struct{})
		srv.set(func(s *server) {
			s.delivered = func(d delivery) {
				if d.rpc == "initialize" {
					close(recovering)
					<-goOn
				}
			}
		})
		ctx, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() { c.send(c.request("POST", message(1, "tools/call", "")).WithContext(ctx)) })
		<-recovering
		var first sync.WaitGroup
		first.Go(func() { all.Wait() })
		leave()
		first.Wait() // it does not wait for the recovery
		var second sync.WaitGroup
		second.Go(func() { wantIn(t, "call of who stayed", c.call(), "session-2") })
		close(goOn)
		second.Wait()
		want(t, "initialize upstream", srv.count("initialize"), 2)
		want(t, "healed", c.toldOf(session.Healed), 1)
		want(t, "failed", c.toldOf(session.Failed), 0)
	})
}

func TestMessageThatCannotBeHeldStaysRefused(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		big := message(1, "tools/call", `{"x":"`+strings.Repeat("x", 80<<10)+`"}`)
		for name, body := range map[string]io.Reader{"declared": strings.NewReader(big), "undeclared": struct{ io.Reader }{strings.NewReader(big)}, "no JSON": strings.NewReader("{")} {
			t.Run(name, func(t *testing.T) {
				srv := newServer(t, proto)
				c := newClient(t, srv, func(o *session.Options) { o.BodyLimit = 32 << 10 }).begin()
				srv.lose()
				req := c.request("POST", "")
				with, _ := http.NewRequestWithContext(t.Context(), "POST", c.url, body)
				with.Header = req.Header
				with.Header.Set("Content-Type", "application/json")
				n := len(srv.all())
				want(t, "status", c.send(with).status, 404)
				want(t, "requests upstream", len(srv.all())-n, 1)
				want(t, "held", c.memory.Held(), 0)
				// The next one is healed.
				c.call()
				if name != "no JSON" {
					with, _ = http.NewRequestWithContext(t.Context(), "POST", c.url, strings.NewReader(big))
					with.Header = req.Header
					want(t, "status in a healed session", c.send(with).status, 200)
				}
			})
		}
	})
}

// A proxy that was restarted has not seen the session begin, and begins none in
// its place.
func TestUnknownIDPassesThrough(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		srv := newServer(t, proto)
		before := newClient(t, srv).begin()
		c := newClient(t, srv)
		c.id = before.id
		c.call() // which the server still knows
		srv.lose()
		want(t, "a call", c.post(message(1, "tools/call", "")).status, 404)
		want(t, "a stream", c.send(c.request("GET", "")).status, 404)
		want(t, "an end", c.send(c.request("DELETE", "")).status, 404)
		want(t, "initialize upstream", srv.count("initialize"), 1)
		wantList(t, "events", c.told())
	})
}

func TestOwnersAreStrangers(t *testing.T) {
	t.Parallel()
	srv := newServer(t, "HTTP/1.1")
	type owner struct{}
	c := newClient(t, srv, func(o *session.Options) {
		o.Owner = func(ctx context.Context) string { s, _ := ctx.Value(owner{}).(string); return s }
	}).begin()
	srv.lose()
	req := c.request("POST", message(1, "tools/call", ""))
	want(t, "another owner", c.send(req.WithContext(context.WithValue(req.Context(), owner{}, "else"))).status, 404)
	req = c.request("POST", message(1, "tools/call", ""))
	req.URL.Path += "/else"
	want(t, "another endpoint", c.send(req).status, 404)
	want(t, "initialize upstream", srv.count("initialize"), 1)
	c.call()
}

func TestModeOffIsNext(t *testing.T) {
	t.Parallel()
	next := failingTrip{}
	if got := session.New(next, session.Options{Mode: session.Off}); got != http.RoundTripper(next) {
		t.Errorf("got %T", got)
	}
}

func TestNormaliseAnswersTheSpecified404(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		for name, tt := range map[string]struct {
			gone   func(http.ResponseWriter, json.RawMessage)
			header []string
			status int
		}{
			"reference":    {says(400, "application/json", `{"error":"No valid session ID provided"}`), nil, 404},
			"initialized":  {says(400, "text/plain", `Server not initialized`), nil, 404},
			"no version":   {says(400, "text/plain", `Invalid session ID`), []string{"Mcp-Protocol-Version", ""}, 404},
			"other 400":    {says(400, "text/plain", `bad arguments`), nil, 400},
			"404":          {notFound(-32001, "x"), nil, 404},
			"500":          {says(500, "text/plain", `Invalid session ID`), nil, 500},
			"no id":        {says(400, "text/plain", `Invalid session ID`), []string{"Mcp-Session-Id", ""}, 400},
			"era after it": {says(400, "text/plain", `Invalid session ID`), []string{"Mcp-Protocol-Version", "2026-07-28"}, 400},
		} {
			t.Run(name, func(t *testing.T) {
				srv := newServer(t, proto)
				srv.gone = tt.gone
				c := newClient(t, srv, func(o *session.Options) { o.Mode = session.Normalise }).begin()
				want(t, "sessions", len(c.book.Sessions()), 0)
				srv.lose()
				for _, method := range []string{"POST", "GET"} {
					n := len(srv.all())
					a := c.send(c.request(method, message(1, "tools/call", ""), tt.header...))
					want(t, "status", a.status, tt.status)
					if tt.status == 404 && name != "404" {
						wantIn(t, "body", strings.ToLower(a.body), "i")
					}
					want(t, "requests upstream", len(srv.all())-n, 1)
				}
			})
		}
	})
}

func TestRecoveryIsWatchedFromItsBeginToItsEnd(t *testing.T) {
	t.Parallel()
	type mark struct{}
	srv := newServer(t, "HTTP/1.1")
	ended := make(chan error, 1)
	var targets []string
	next := trip(func(req *http.Request) (*http.Response, error) {
		switch own := req.Context().Value(mark{}); req.Header.Get("Mcp-Session-Id") {
		case "": // initialize
			want[any](t, "context of the recovery", own, "apart, around")
		case "session-1":
			want(t, "context of the request", own, nil)
		}
		return srv.Client().Transport.RoundTrip(req)
	})
	c := newClient(t, srv).begin()
	c.chain = c.route(next, restless, func(o *session.Options) {
		o.Apart = func(ctx context.Context) context.Context { return context.WithValue(ctx, mark{}, "apart") }
		o.Around = func(ctx context.Context, target string) (context.Context, func(error)) {
			targets = append(targets, target)
			return context.WithValue(ctx, mark{}, fmt.Sprint(ctx.Value(mark{}), ", around")), func(err error) { ended <- err }
		}
	})
	srv.lose()
	c.call()
	want(t, "error", <-ended, nil)
	wantList(t, "targets", targets, strings.TrimPrefix(c.url, "https://"))
	srv.set(func(s *server) {
		clear(s.live)
		s.before = func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
			w.WriteHeader(404)
			return true
		}
	})
	c.post(message(1, "tools/call", ""))
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("error: %v", err)
	}
}

func TestSessionThatBeganUnreadablyIsEnded(t *testing.T) {
	t.Parallel()
	srv := newServer(t, "HTTP/1.1")
	c := newClient(t, srv).begin()
	ended := make(chan string, 1)
	srv.set(func(s *server) {
		clear(s.live)
		s.before = func(w http.ResponseWriter, r *http.Request, b []byte) bool {
			if !strings.Contains(string(b), `"initialize"`) {
				return false
			}
			w.Header().Set("Mcp-Session-Id", "unreadable")
			io.WriteString(w, "?")
			return true
		}
		s.delivered = func(d delivery) {
			if d.rpc == "DELETE" {
				ended <- d.session
			}
		}
	})
	want(t, "status", c.post(message(1, "tools/call", "")).status, 404)
	want(t, "session that was ended", <-ended, "unreadable")
}
