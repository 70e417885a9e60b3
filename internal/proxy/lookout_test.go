package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// lookedOut serves h on one end of a pipe, and returns the other. It is for a
// bubble, and ends with it.
func lookedOut(t *testing.T, h http.HandlerFunc) net.Conn {
	t.Helper()
	ours, theirs := net.Pipe()
	l := newConnListener(&net.TCPAddr{})
	s := &http.Server{Handler: new(Proxy).counted(h), ConnContext: withBoth, ReadHeaderTimeout: time.Minute, IdleTimeout: time.Hour}
	go s.Serve(l)
	t.Cleanup(func() {
		s.Close()
		theirs.Close()
	})
	fatal(t, l.put(&http1Conn{Conn: ours}))
	return theirs
}

type connContext struct{}

// withBoth is withHTTP1, and has the context itself be found.
func withBoth(ctx context.Context, c net.Conn) context.Context {
	ctx = withHTTP1(ctx, c)
	return context.WithValue(ctx, connContext{}, ctx)
}

// say sends parts, each a while after the one before.
func say(c net.Conn, parts ...string) {
	for i, p := range parts {
		if i > 0 {
			time.Sleep(calm / 2)
		}
		if p != "" { // a pipe waits for a reader of nothing
			io.WriteString(c, p)
		}
	}
}

// A client's end is noticed when its handler has run for a while, and from then
// on at once, also behind another request that took long to come.
func TestClientsEndIsNoticedAfterAWhile(t *testing.T) {
	for name, tt := range map[string]struct {
		body               string // sent when the handler has run for so long:
		sent, left, notice time.Duration
	}{
		"at once":               {"", 0, 0, calm},
		"before":                {"", 0, calm / 2, calm},
		"later":                 {"", 0, 5 * calm, 5 * calm},
		"behind a short upload": {"12345", calm / 4, calm / 2, calm},
		"behind a long upload":  {"12345", 3 * calm, 5 * calm, 5 * calm},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				took := make(chan time.Duration, 1)
				client := lookedOut(t, func(_ http.ResponseWriter, r *http.Request) {
					began := time.Now()
					io.Copy(io.Discard, r.Body)
					if r.Method == "PUT" {
						return
					}
					select {
					case <-r.Context().Done():
						took <- time.Since(began)
					case <-time.After(time.Minute):
						took <- -1
					}
				})
				say(client, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n", "1", "2", "3")
				readReply(t, bufio.NewReader(client), "PUT")
				fmt.Fprintf(client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", len(tt.body))
				time.Sleep(tt.sent)
				say(client, tt.body)
				time.Sleep(tt.left - tt.sent)
				client.Close()
				if got := <-took; got != tt.notice {
					t.Errorf("noticed after %s, want %s", got, tt.notice)
				}
			})
		})
	}
}

// What a look brings is of the next request, whether the handler ends before
// the look, during it or behind it, and however the client cuts what it says.
func TestLookLosesNothingOfTheNextRequest(t *testing.T) {
	const request = "POST /%d HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n%[1]d%[1]d"
	const requests = 12
	var all string
	for i := range requests {
		all += fmt.Sprintf(request, i%10)
	}
	for _, took := range []time.Duration{0, calm / 2, calm, calm + 1, 3*calm/2 + 1, 10 * calm} {
		for _, size := range []int{1, 7, len(all) / requests, len(all)/requests + 1, len(all)} {
			t.Run(fmt.Sprint(took, size), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					client := lookedOut(t, func(w http.ResponseWriter, r *http.Request) {
						body, err := io.ReadAll(r.Body)
						time.Sleep(took)
						fmt.Fprintln(w, r.URL.Path, string(body), err, r.Context().Err())
					})
					var parts []string
					for rest := all; rest != ""; {
						n := min(size, len(rest))
						parts, rest = append(parts, rest[:n]), rest[n:]
					}
					go say(client, parts...)
					answers := bufio.NewReader(client)
					for i := range requests {
						res := readReply(t, answers, "POST")
						if want := fmt.Sprintln(fmt.Sprintf("/%d %[1]d%[1]d", i%10), nil, nil); res.body != want {
							t.Errorf("%q, want %q", res.body, want)
						}
					}
				})
			})
		}
	}
}

// A handler that takes the connection over has what a look brought, no deadline
// of the look's, and a context that ends with it.
func TestTakingOverEndsTheLook(t *testing.T) {
	for _, ran := range []time.Duration{0, calm / 2, 2 * calm} {
		for _, more := range []string{"", "x", "xyz"} {
			t.Run(fmt.Sprint(ran, more), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ended := make(chan context.Context, 1)
					client := lookedOut(t, func(w http.ResponseWriter, r *http.Request) {
						ended <- r.Context()
						time.Sleep(ran)
						c, err := hijack(w)
						fatal(t, err)
						defer c.Close()
						time.Sleep(calm) // nobody reads meanwhile
						got := make([]byte, len(more)+1)
						if _, err := io.ReadFull(c, got); err != nil || string(got) != more+"!" {
							t.Errorf("%q, %v", got, err)
						}
					})
					go say(client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", more, "", "", "", "", "", "", "!")
					ctx := <-ended
					<-ctx.Value(connContext{}).(context.Context).Done()
					if _, err := client.Read(make([]byte, 1)); err != io.EOF {
						t.Error(err)
					}
					if c := ctx.Value(http1Key{}).(*http1Conn); c.lookout.watch != nil {
						t.Error("somebody still reads")
					}
				})
			})
		}
	}
}

// The contexts of a connection's requests end with it, also of one without a
// request.
func TestContextEndsWithItsConnection(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	c := &http1Conn{Conn: ours}
	ctx := withHTTP1(t.Context(), c)
	c.Close()
	if !errors.Is(ctx.Err(), context.Canceled) {
		t.Error(ctx.Err())
	}
}

// Only a read of one byte behind whole requests is a look: another is made at
// once, and waits.
func TestReadsThatAreNoLookAreMade(t *testing.T) {
	for _, before := range []string{"G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nContent-Length: 1\r\n\r\n", "GET / HTTP/1.1\r\nUpgrade: a\r\n\r\n"} {
		t.Run(before, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				defer ours.Close()
				defer theirs.Close()
				c := &http1Conn{Conn: ours}
				go say(theirs, before, "E")
				if _, err := io.ReadAtLeast(c, make([]byte, 100), len(before)); err != nil {
					t.Fatal(err)
				}
				b := make([]byte, 1)
				if n, err := c.Read(b); n != 1 || err != nil || b[0] != 'E' {
					t.Errorf("%d, %v, %q", n, err, b)
				}
				c.SetReadDeadline(time.Unix(1, 0))
				if _, err := c.Read(make([]byte, 2)); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Error(err)
				}
			})
		})
	}
}

// A look of which the end was overtaken by the next request is forgotten when
// that is read: its body is the handler's.
func TestBodyIsNotLookedAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer ours.Close()
		defer theirs.Close()
		c := &http1Conn{Conn: ours}
		if n, err := c.Read(make([]byte, 1)); n != 0 || err != nil {
			t.Fatal(n, err)
		}
		go say(theirs, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n", "", "", "", "", "1")
		c.Read(make([]byte, 100))
		c.begin()
		defer c.end()
		time.Sleep(2 * calm)
		b := make([]byte, 100)
		if n, err := c.Read(b); string(b[:n]) != "1" || err != nil {
			t.Errorf("%q, %v", b[:n], err)
		}
	})
}

// Where more of the client's is known to wait, nobody looks for its end, as
// net/http does not.
func TestEndBehindMoreRequestsEndsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := make(chan error, 2)
		client := lookedOut(t, func(_ http.ResponseWriter, r *http.Request) {
			time.Sleep(4 * calm)
			seen <- r.Context().Err()
		})
		const request = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
		go say(client, request+request, "G")
		<-seen
		readReply(t, bufio.NewReader(client), "GET")
		client.Close()
		if err := <-seen; err != nil {
			t.Error(err)
		}
	})
}

// Behind the end of a handler nobody looks any more.
func TestEndOfAHandlerWaitsForTheLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer ours.Close()
		defer theirs.Close()
		c := &http1Conn{Conn: ours}
		c.Read(make([]byte, 1))
		c.begin()
		time.Sleep(2 * calm)
		looks := func() bool {
			c.lookout.mu.Lock()
			defer c.lookout.mu.Unlock()
			return c.lookout.watch != nil
		}
		if !looks() {
			t.Error("nobody looked")
		}
		if c.end(); looks() {
			t.Error("somebody still looks")
		}
	})
}
