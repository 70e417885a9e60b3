package proxy

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// fickle is an HTTP/1.1 upstream that a test leads by the hand: it closes
// connections when a pool of them is least able to notice.
type fickle struct {
	authority string
	mu        sync.Mutex
	bodies    []string // of the requests that were read, with their path
	close     func(path string) when
}

// when says at which point the connection of a request is closed.
type when int

const (
	never          when = iota
	afterAnswer         // as idle connections are, without a word before
	beforeAnswer        // the request has been read
	beforeBody          // its header has been read
	justBeforeNext      // when the first byte of the next request arrives
)

func startFickle(t *testing.T, origins *authorityForTests, close func(path string) when) *fickle {
	t.Helper()
	l := listenLoopback(t)
	f := &fickle{close: close, authority: strings.Replace(l.Addr().String(), "127.0.0.1", "api.test", 1)}
	cfg := &tls.Config{Certificates: []tls.Certificate{origins.issue(t, "api.test", nil)}, NextProtos: []string{"http/1.1"}}
	serveEach(t, l, cfg, f.serve)
	return f
}

func (f *fickle) serve(c net.Conn) {
	defer c.Close()
	requests := bufio.NewReader(c)
	for {
		req, err := http.ReadRequest(requests)
		if err != nil {
			return
		}
		w := f.close(req.URL.Path)
		if w == beforeBody {
			f.note(req.URL.Path)
			return
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		f.note(req.URL.Path + " " + string(body))
		if w == beforeAnswer {
			return
		}
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		switch w {
		case afterAnswer:
			return
		case justBeforeNext:
			requests.Peek(1)
			return
		}
	}
}

func (f *fickle) note(s string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bodies = append(f.bodies, s)
}

// seen returns how many requests for path were read.
func (f *fickle) seen(path string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, s := range f.bodies {
		if got, _, _ := strings.Cut(s, " "); got == path {
			n++
		}
	}
	return n
}

// staleRig has one pooled upstream connection, which the upstream ends as
// told.
func staleRig(t *testing.T, client string, first when, later func(path string) when) (*rig, *fickle) {
	t.Helper()
	origins := newOrigins(t)
	f := startFickle(t, origins, func(path string) when {
		if path == "/first" {
			return first
		}
		return later(path)
	})
	r := rigTo(t, origins, f.authority, client)
	body, err := io.ReadAll(r.do(r.request("GET", "first", nil)).Body)
	if err != nil || string(body) != "ok" {
		t.Fatalf("%q, %v", body, err)
	}
	return r, f
}

func stays(string) when { return never }

func TestGetSurvivesAStalePooledConnection(t *testing.T) {
	t.Parallel()
	for _, client := range []string{"h1", "h2"} {
		for name, w := range map[string]when{"closed while idle": afterAnswer, "closed as the request arrives": justBeforeNext} {
			t.Run(client+" "+name, func(t *testing.T) {
				for range 20 {
					r, f := staleRig(t, client, w, stays)
					res := r.do(r.request("GET", "second", nil))
					if body, err := io.ReadAll(res.Body); err != nil || string(body) != "ok" {
						t.Fatalf("%s %q, %v", res.Status, body, err)
					}
					if n := f.seen("/second"); n != 1 {
						t.Errorf("the request was read %d times", n)
					}
				}
			})
		}
	}
}

func TestPostOverAStalePooledConnectionIsNeverSentTwice(t *testing.T) {
	t.Parallel()
	for _, client := range []string{"h1", "h2"} {
		for name, w := range map[string]when{"closed while idle": afterAnswer, "closed as the request arrives": justBeforeNext} {
			t.Run(client+" "+name, func(t *testing.T) {
				succeeded := 0
				const rounds = 20
				for range rounds {
					r, f := staleRig(t, client, w, stays)
					res := r.do(r.request("POST", "second", strings.NewReader("body")))
					body, err := io.ReadAll(res.Body)
					fatal(t, err)
					switch {
					case res.StatusCode == http.StatusOK && string(body) == "ok":
						succeeded++
						if n := f.seen("/second"); n != 1 {
							t.Errorf("succeeded, read %d times", n)
						}
					case res.StatusCode == http.StatusBadGateway && strings.Contains(string(body), "upstream-aborted"):
						if n := f.seen("/second"); n > 0 {
							t.Errorf("failed, but was read %d times", n)
						}
					default:
						t.Errorf("%s %q", res.Status, body)
					}
				}
				t.Logf("%d of %d succeeded", succeeded, rounds)
			})
		}
	}
}

// Once an upstream has begun to read a request that has effects, its silence
// may mean anything: only the client may try again.
func TestPostThatTheUpstreamReadIsNotRepeated(t *testing.T) {
	t.Parallel()
	for _, client := range []string{"h1", "h2"} {
		for name, w := range map[string]when{"header read": beforeBody, "all read": beforeAnswer} {
			for _, length := range []int64{4, -1} {
				t.Run(fmt.Sprint(client, " ", name, " ", length), func(t *testing.T) {
					r, f := staleRig(t, client, never, func(string) when { return w })
					req := r.request("POST", "second", io.NopCloser(strings.NewReader("body")))
					req.ContentLength = length
					res := r.do(req)
					body, err := io.ReadAll(res.Body)
					if err != nil || res.StatusCode != http.StatusBadGateway {
						t.Errorf("%s %q, %v", res.Status, body, err)
					}
					if n := f.seen("/second"); n != 1 {
						t.Errorf("the request was read %d times", n)
					}
				})
			}
		}
	}
}
