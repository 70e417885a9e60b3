package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// exchange10 sends an HTTP/1.0 request and returns the answer's header and the
// rest of the connection.
func exchange10(t *testing.T, r *rig, path, fields string) (head, rest string) {
	t.Helper()
	c := r.tlsTo(r.authority, "http/1.1")
	fmt.Fprintf(c, "GET %s HTTP/1.0\r\nHost: %s\r\n%s\r\n", path, r.authority, fields)
	all, err := io.ReadAll(c)
	fatal(t, err)
	head, rest, _ = strings.Cut(string(all), "\r\n\r\n")
	return head, rest
}

func TestHTTP10Client(t *testing.T) {
	t.Parallel()
	for _, upstream := range []string{"h1", "h2", "h2 only"} {
		t.Run(upstream, func(t *testing.T) {
			origins := newOrigins(t)
			authority := origins.start(t, upstream, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/stream" {
					trailing("of unknown length", true, false)(w, r)
					return
				}
				io.WriteString(w, "of known length")
			})
			r := rigTo(t, origins, authority, "h1")
			for _, c := range []struct{ path, body string }{{"/", "of known length"}, {"/stream", "of unknown length"}} {
				head, rest := exchange10(t, r, c.path, "")
				if !strings.HasPrefix(head, "HTTP/1.") || rest != c.body {
					t.Errorf("%s: %s\n\n%q", c.path, head, rest)
				}
				if strings.Contains(strings.ToLower(head), "transfer-encoding") {
					t.Errorf("%s: framed by chunks: %s", c.path, head)
				}
			}
		})
	}
}

// Where the end of the connection is the end of the body, a body that broke
// off must not end like one that is whole.
func TestBrokenAnswerIsNoCleanEndForHTTP10(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"intercepted", "intercepted, dual upstream", "plain http"} {
		t.Run(way, func(t *testing.T) {
			received := make(turns)
			w, url := socketWorld(t, way, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				io.WriteString(w, "half of it")
				flush(w)
				received.wait(r.Context())
				panic(http.ErrAbortHandler)
			}))
			c, target := w.openFor(t, url)
			fmt.Fprintf(c, "GET %s HTTP/1.0\r\nHost: %s\r\n\r\n", target, hostOf(url))
			answer := bufio.NewReader(c)
			readHeadFrom(t, answer)
			got := make([]byte, len("half of it"))
			_, err := io.ReadFull(answer, got)
			fatal(t, err)
			received.send(t.Context())
			if rest, err := io.ReadAll(answer); err == nil {
				t.Errorf("a clean end behind %q", rest)
			}
		})
	}
}

func TestHTTP10KeepAlive(t *testing.T) {
	t.Parallel()
	r := newRig(t, "h1", "h1", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path) })
	c := r.tlsTo(r.authority, "http/1.1")
	answers := bufio.NewReader(c)
	for _, path := range []string{"/1", "/2"} {
		fmt.Fprintf(c, "GET %s HTTP/1.0\r\nHost: %s\r\nConnection: keep-alive\r\n\r\n", path, r.authority)
		res, err := http.ReadResponse(answers, nil)
		fatal(t, err)
		if body, err := io.ReadAll(res.Body); err != nil || string(body) != path || res.Close {
			t.Errorf("%q, %v, close %v", body, err, res.Close)
		}
	}
}
