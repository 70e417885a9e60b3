package stdio

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func contextOf(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithCancel(t.Context())
}

// TestServerWithoutAStreamIsNotAskedAgain holds by which answers it is known
// that a server says nothing unasked.
func TestServerWithoutAStreamIsNotAskedAgain(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]http.HandlerFunc{
		"405": status(405), "404": status(404), "400": status(400), "403": status(403), "406": status(406),
		"202": status(202), "204": status(204), "page": answers(200, "text/html", "<html>"), "JSON": answers(200, typeJSON, "{}"),
		"redirect": status(302),
		"encoded": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			say(w, alive)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f, x := play(t, h)
				f.s.listen(t.Context())
				wantList(t, "requests", x.requests(), "GET 0s")
			})
		})
	}
}

// TestStreamOfTheServerIsOpenedAgain holds what happens when it ends, breaks or
// is refused for the time being: it goes on behind the last event.
func TestStreamOfTheServerIsOpenedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := contextOf(t)
		f, x := play(t,
			status(409),
			clean(alive),
			broken("id: 7\nretry: 3000\n"+alive+"data: "),
			clean("id: 8\n"+alive),
			status(404), // it does not know the event any more
			func(w http.ResponseWriter, r *http.Request) {
				say(w, alive)
				stop()
				<-r.Context().Done()
			},
		)
		f.s.listen(ctx)
		var times []string
		for _, r := range x.requests() {
			fields := strings.Fields(r)
			if fields[0] != "GET" {
				t.Errorf("%s", r)
			}
			times = append(times, strings.Join(fields[2:], ""))
		}
		wantList(t, "last events", times, "", "", "", "7", "8", "")
		wantList(t, "said", f.said(), note, note, note, note)
		for _, on := range f.on {
			want(t, "on a call", on, false)
		}
	})
}

// TestServerWhoseStreamEndsAtOnceIsLeftInPeace holds that it is asked ever more
// seldom, whatever it wishes.
func TestServerWhoseStreamEndsAtOnceIsLeftInPeace(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]http.HandlerFunc{
		"empty": clean(""), "in a hurry": clean("retry: 0\n\n"), "alive": broken(": alive\n\n"), "503": status(503), "401": status(401),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f, x := play(t, h)
				ctx, stop := context.WithTimeout(t.Context(), 5*time.Minute)
				defer stop()
				f.s.listen(ctx)
				if n := len(x.requests()); n < 10 || n > 20 {
					t.Errorf("asked %d times in five minutes", n)
				}
			})
		})
	}
}

// TestStreamThatStoodIsOpenedAgainSoon holds that a proxy that ends silent
// streams each minute does no harm.
func TestStreamThatStoodIsOpenedAgainSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, x := play(t, func(w http.ResponseWriter, r *http.Request) {
			say(w, ": here\n\n")
			pause(r.Context(), time.Minute)
		})
		ctx, stop := context.WithTimeout(t.Context(), time.Hour)
		defer stop()
		f.s.listen(ctx)
		if n := len(x.requests()); n < 58 {
			t.Errorf("asked %d times in an hour", n)
		}
	})
}

// TestEraWithoutSessionsHasNoStreamOfItsOwn holds that such a server is not
// asked for one.
func TestEraWithoutSessionsHasNoStreamOfItsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, x := play(t, clean(alive))
		f.s.version = "2026-07-28"
		f.s.listen(t.Context())
		wantList(t, "requests", x.requests())
	})
}

// TestResponseMayComeOnTheServersOwnStream holds what a 202 to a request means:
// the response later, elsewhere, or never.
func TestResponseMayComeOnTheServersOwnStream(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		text, line string
	}{
		"it comes":             {"data: " + result(1) + "\n\n", ""},
		"the stream goes away": {"", "took the request without an answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				here, n := make(chan bool), 0
				f := near(t, func(w http.ResponseWriter, r *http.Request) {
					io.Copy(io.Discard, r.Body)
					switch {
					case r.Method == "POST":
						w.WriteHeader(202)
					case n > 0:
						w.WriteHeader(405)
					default:
						n++
						say(w, ": here\n\n")
						close(here)
						pause(r.Context(), time.Minute)
						say(w, tt.text)
					}
				})
				ctx, stop := contextOf(t)
				over := make(chan bool)
				go func() { f.s.listen(ctx); close(over) }()
				<-here
				wantLine(t, "error", f.ask(t, request(1, "x")), tt.line)
				stop()
				<-over
			})
		})
	}
}

// TestCancelledCallDoesNotWaitForTheOtherStream holds the end of a call that the
// server has put off.
func TestCancelledCallDoesNotWaitForTheOtherStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := near(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == "POST" {
				w.WriteHeader(202)
				return
			}
			say(w, ": here\n\n")
			<-r.Context().Done()
		})
		listening, stop := contextOf(t)
		over := make(chan bool)
		go func() { f.s.listen(listening); close(over) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := f.s.ask(ctx, f.call(ctx, request(1, "x"))); err != context.DeadlineExceeded {
			t.Errorf("%v", err)
		}
		stop()
		<-over
	})
}

// TestEndIsTold holds when the server is told, and what it may say to that.
func TestEndIsTold(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		session string
		answer  http.HandlerFunc
		told    bool
		line    string
	}{
		"no session":           {"", status(500), false, ""},
		"ended":                {"s", status(200), true, ""},
		"ended, no content":    {"s", status(204), true, ""},
		"unknown":              {"s", status(404), true, ""},
		"not possible":         {"s", status(405), true, ""},
		"refused":              {"s", status(403), true, "403"},
		"failed":               {"s", status(500), true, "500"},
		"ended without an end": {"s", func(w http.ResponseWriter, r *http.Request) { say(w, "x"); <-r.Context().Done() }, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f, x := play(t, tt.answer)
				f.s.session = tt.session
				wantLine(t, "error", f.s.end(t.Context()), tt.line)
				want(t, "idle connections closed", f.route.idle.Load(), 1)
				if tt.told {
					wantList(t, "requests", x.requests(), "DELETE 0s")
				} else {
					wantList(t, "requests", x.requests())
				}
			})
		})
	}
}

// TestSecondSessionTakesThePlaceOfTheFirst holds that a client may initialize
// again: what the server says in the new session arrives, and the old one ends.
func TestSecondSessionTakesThePlaceOfTheFirst(t *testing.T) {
	both(t, func(t *testing.T, proto string) {
		var sessions atomic.Int32
		seen := make(chan string, 100)
		f := newFar(t, proto, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			session := r.Header.Get("Mcp-Session-Id")
			switch {
			case r.Method == http.MethodGet:
				say(w, "id: 1\ndata: "+strings.Replace(note, "message", "in "+session, 1)+"\n\n")
				<-r.Context().Done()
			case r.Method == http.MethodDelete:
				seen <- "DELETE " + session
			case strings.Contains(string(body), `"initialize"`):
				w.Header().Set("Mcp-Session-Id", fmt.Sprint("s", sessions.Add(1)))
				answers(200, typeJSON, did("0", "initialize"))(w, r)
			default:
				w.WriteHeader(http.StatusAccepted)
			}
		})
		c := run(t, New(Options{URL: f.s.o.URL, Route: f.route, Log: testLog(t)}))
		for _, session := range []string{"s1", "s2", "s3"} {
			c.say(begin)
			c.hears(begun)
			c.say(saidBegun)
			c.hears(strings.Replace(note, "message", "in "+session, 1))
		}
		c.end()
		for _, session := range []string{"s1", "s2", "s3"} {
			want(t, "ended", <-seen, "DELETE "+session)
		}
	})
}
