package proxy

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// answersWithoutBody is an upstream whose answers have no body, or not the
// one that their header describes.
func answersWithoutBody(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/204":
		w.WriteHeader(http.StatusNoContent)
	case "/304":
		w.Header().Set("Etag", `"x"`)
		w.WriteHeader(http.StatusNotModified)
	case "/head":
		w.Header().Set("Content-Length", "12345")
	case "/empty":
		w.Header().Set("Content-Length", "0")
	default:
		io.WriteString(w, "body of "+r.URL.Path)
	}
}

func TestAnswersWithoutBodyLeaveTheConnectionUsable(t *testing.T) {
	t.Parallel()
	eachProtocol(t, func(t *testing.T, client, upstream string) {
		r := newRig(t, client, upstream, answersWithoutBody)
		dials := countDials(r.http)
		for range 2 {
			for _, c := range []struct {
				method, path string
				status       int
				length       int64
				body         string
			}{
				{"HEAD", "head", 200, 12345, ""},
				{"GET", "204", 204, 0, ""},
				{"HEAD", "204", 204, 0, ""},
				{"GET", "304", 304, 0, ""},
				{"GET", "empty", 200, 0, ""},
				{"HEAD", "empty", 200, 0, ""},
				{"GET", "x", 200, 10, "body of /x"},
			} {
				res := r.do(r.request(c.method, c.path, nil))
				body, err := io.ReadAll(res.Body)
				fatal(t, err)
				if res.StatusCode != c.status || string(body) != c.body {
					t.Errorf("%s %s: %s %q", c.method, c.path, res.Status, body)
				}
				if res.ContentLength != c.length && c.status == 200 {
					t.Errorf("%s %s: Content-Length %d, want %d", c.method, c.path, res.ContentLength, c.length)
				}
				if etag := res.Header.Get("Etag"); (etag != "") != (c.status == 304) {
					t.Errorf("%s %s: ETag %q", c.method, c.path, etag)
				}
			}
		}
		if n := dials.Load(); n != 1 {
			t.Errorf("%d connections for all, want 1", n)
		}
	})
}

func TestUpstreamConnectionsAreKept(t *testing.T) {
	t.Parallel()
	for _, client := range []string{"h1", "h2"} {
		for _, proto := range []string{"h1", "h2"} {
			t.Run(client+" client, "+proto+" upstream", func(t *testing.T) {
				origins := newOrigins(t)
				u := origins.startCounted(t, "api.test", digest, true, proto == "h2")
				r := rigTo(t, origins, u.authority, client)
				for i := range 10 {
					// Each from a connection of its own: what is upstream of
					// the proxy is shared.
					one := r.client(client)
					res, err := one.Post(r.url, "text/plain", strings.NewReader(strings.Repeat("x", i*10_000)))
					fatal(t, err)
					io.Copy(io.Discard, res.Body)
					res.Body.Close()
					one.CloseIdleConnections()
				}
				// A connection is free for the next request a moment after
				// the answer that it carried has ended.
				if n := u.conns.Load(); n > 3 {
					t.Errorf("%d upstream connections for 10 requests", n)
				}
			})
		}
	}
}

// net/http closes a request's body once that has ended, while the Transport
// may still look for its end; an error there costs it the connection.
func TestEndOfABodyIsNoErrorLater(t *testing.T) {
	t.Parallel()
	body, send := io.Pipe()
	send.Close()
	b := &bodyWatch{ReadCloser: body, trailer: screenTrailer(nil)}
	for range 2 {
		if n, err := b.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("read %d, %v", n, err)
		}
		body.Close()
	}
}

func TestUpstreamThatClosesDoesNotCloseTheClient(t *testing.T) {
	t.Parallel()
	for _, client := range []string{"h1", "h2"} {
		t.Run(client, func(t *testing.T) {
			origins := newOrigins(t)
			u := origins.startCounted(t, "api.test", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Connection", "close")
				io.WriteString(w, "last words")
			}, true, false)
			r := rigTo(t, origins, u.authority, client)
			dials := countDials(r.http)
			for range 3 {
				res := r.do(r.request("GET", "", nil))
				if body, err := io.ReadAll(res.Body); err != nil || string(body) != "last words" || res.Close {
					t.Errorf("%q, %v, close %v", body, err, res.Close)
				}
			}
			if n := dials.Load(); n != 1 {
				t.Errorf("%d client connections, want 1", n)
			}
			if n := u.conns.Load(); n != 3 {
				t.Errorf("%d upstream connections, want 3", n)
			}
		})
	}
}

func TestClientThatClosesDoesNotCloseTheUpstream(t *testing.T) {
	t.Parallel()
	for _, proto := range []string{"h1", "h2"} {
		t.Run(proto, func(t *testing.T) {
			origins := newOrigins(t)
			u := origins.startCounted(t, "api.test", func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprint(w, r.Close, r.Header["Connection"])
			}, true, proto == "h2")
			r := rigTo(t, origins, u.authority, "h1")
			for range 3 {
				req := r.request("GET", "", nil)
				req.Close = true
				res := r.do(req)
				if body, err := io.ReadAll(res.Body); err != nil || string(body) != "false []" || !res.Close {
					t.Errorf("upstream saw %s, %v; close %v", body, err, res.Close)
				}
			}
			if n := u.conns.Load(); n == 3 {
				t.Error("each request had an upstream connection of its own")
			}
		})
	}
}

func TestRedirectIsReturnedNotFollowed(t *testing.T) {
	t.Parallel()
	eachProtocol(t, func(t *testing.T, client, upstream string) {
		for _, code := range []int{301, 302, 303, 307, 308} {
			r := newRig(t, client, upstream, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/from" {
					t.Errorf("followed to %s", r.URL)
				}
				w.Header().Set("Location", "../to?x=%7e#y")
				w.WriteHeader(code)
			})
			res := r.do(r.request("POST", "from", strings.NewReader("body")))
			if got := res.Header.Get("Location"); res.StatusCode != code || got != "../to?x=%7e#y" {
				t.Errorf("%s, Location %q", res.Status, got)
			}
		}
	})
}

func TestEncodedContentIsNotTouched(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	io.WriteString(z, strings.Repeat("plain ", 10_000))
	z.Close()
	eachProtocol(t, func(t *testing.T, client, upstream string) {
		r := newRig(t, client, upstream, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Header().Set("Accept-Encoding-Was", fmt.Sprint(r.Header["Accept-Encoding"]))
			w.Write(packed.Bytes())
		})
		for _, accept := range [][]string{nil, {"gzip"}, {"br, zstd"}} {
			req := r.request("GET", "", nil)
			if accept != nil {
				req.Header["Accept-Encoding"] = accept
			}
			res := r.do(req)
			got, err := io.ReadAll(res.Body)
			if err != nil || !bytes.Equal(got, packed.Bytes()) || res.Header.Get("Content-Encoding") != "gzip" || res.Uncompressed {
				t.Errorf("Accept-Encoding %q: %d bytes, %v, %v", accept, len(got), err, res.Header)
			}
			if was := res.Header.Get("Accept-Encoding-Was"); was != fmt.Sprint(accept) {
				t.Errorf("upstream was asked for %s, want %s", was, accept)
			}
		}
	})
}

// A server that knows nothing of ALPN agrees to no protocol and speaks
// HTTP/1.1 all the same.
func TestUpstreamWithoutALPN(t *testing.T) {
	t.Parallel()
	for _, client := range []string{"h1", "h2"} {
		t.Run(client, func(t *testing.T) {
			origins := newOrigins(t)
			l := listenLoopback(t)
			s := &http.Server{Handler: http.HandlerFunc(digest)}
			done := make(chan error, 1)
			cert := origins.issue(t, "api.test", nil)
			go func() {
				done <- s.Serve(tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}}))
			}()
			t.Cleanup(func() { s.Close(); <-done })
			authority := strings.Replace(l.Addr().String(), "127.0.0.1", "api.test", 1)
			r := rigTo(t, origins, authority, client)
			for range 2 {
				body, err := io.ReadAll(r.do(r.request("POST", "", strings.NewReader("body"))).Body)
				if err != nil || !strings.HasPrefix(string(body), "HTTP/1.1 4 <nil>") {
					t.Errorf("%s, %v", body, err)
				}
			}
		})
	}
}

func TestShutdownKeepsNoIdleConnection(t *testing.T) {
	t.Parallel()
	origins := newOrigins(t)
	closed := make(chan struct{}, 1)
	l := listenLoopback(t)
	s := &http.Server{Handler: http.HandlerFunc(digest), ConnState: func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			closed <- struct{}{}
		}
	}}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() { s.Close(); <-done })
	w := newWorld(t, origins, worldOptions{})
	c := w.client("h1")
	get(t, c, "http://"+strings.Replace(l.Addr().String(), "127.0.0.1", "api.test", 1))
	c.CloseIdleConnections()
	fatal(t, w.proxy.Shutdown(t.Context()))
	expect(t, "connections that ended", closed, 1)
}
