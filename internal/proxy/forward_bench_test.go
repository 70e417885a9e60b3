package proxy

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"
)

// The whole way of a request: a client's connection, the proxy, and the
// upstream's, all TLS on loopback. For HTTP/1.1 client and upstream write and
// read fixed bytes, so that what is counted is the proxy's.

func BenchmarkKeepAlive(b *testing.B) {
	for _, proto := range []string{"h1", "h2"} {
		b.Run(proto, func(b *testing.B) {
			url, w := newCanned(b, proto, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: x\r\nContent-Length: 1024\r\n\r\n", make([]byte, 1024))
			if proto == "h1" {
				ask := askFixed(b, w, url)
				for b.Loop() {
					ask(1024)
				}
				return
			}
			c := w.client(proto)
			for b.Loop() {
				fetchAll(b, c, url)
			}
		})
	}
}

func BenchmarkDownload(b *testing.B) {
	for _, proto := range []string{"h1", "h2"} {
		b.Run(proto, func(b *testing.B) {
			const size = 16 << 20
			url, w := newCanned(b, proto, "HTTP/1.1 200 OK\r\nContent-Length: "+strconv.Itoa(size)+"\r\n\r\n", make([]byte, size))
			b.SetBytes(size)
			if proto == "h1" {
				ask := askFixed(b, w, url)
				for b.Loop() {
					ask(size)
				}
				return
			}
			c := w.client(proto)
			for b.Loop() {
				fetchAll(b, c, url)
			}
		})
	}
}

func BenchmarkUpload(b *testing.B) {
	const size = 16 << 20
	body := make([]byte, size)
	for _, proto := range []string{"h1", "h2"} {
		b.Run(proto, func(b *testing.B) {
			origins := newOrigins(b)
			api := origins.startUpstream(b, "api.test", proto, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
			}))
			w := newWorld(b, origins, worldOptions{prefixes: []string{"https://" + api + "/"}})
			c := w.client(proto)
			b.SetBytes(size)
			for b.Loop() {
				res, err := c.Post("https://"+api+"/", "application/octet-stream", bytes.NewReader(body))
				fatal(b, err)
				res.Body.Close()
			}
		})
	}
}

// BenchmarkEvents is one event of an open stream.
func BenchmarkEvents(b *testing.B) {
	for _, proto := range []string{"h1", "h2"} {
		b.Run(proto, func(b *testing.B) {
			next := make(chan struct{})
			event := []byte("data: 0123456789012345678901234567890123456789\n\n")
			origins := newOrigins(b)
			api := origins.startUpstream(b, "api.test", proto, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				w.(http.Flusher).Flush()
				for range next {
					w.Write(event)
					w.(http.Flusher).Flush()
				}
			}))
			w := newWorld(b, origins, worldOptions{prefixes: []string{"https://" + api + "/"}})
			res, err := w.client(proto).Get("https://" + api + "/")
			fatal(b, err)
			got := make([]byte, len(event))
			for b.Loop() {
				next <- struct{}{}
				_, err := io.ReadFull(res.Body, got)
				fatal(b, err)
			}
			close(next)
			res.Body.Close()
		})
	}
}

// newCanned starts an upstream that gives every request the same answer.
func newCanned(b *testing.B, proto, head string, body []byte) (url string, w *world) {
	origins := newOrigins(b)
	var api string
	if proto == "h1" {
		l := listenLoopback(b)
		cfg := &tls.Config{Certificates: []tls.Certificate{origins.issue(b, "api.test", nil)}, NextProtos: []string{"http/1.1"}}
		answer := append([]byte(head), body...)
		serveEach(b, l, cfg, func(c net.Conn) {
			defer c.Close()
			for r := bufio.NewReader(c); skipHead(r) == nil; {
				if _, err := c.Write(answer); err != nil {
					return
				}
			}
		})
		_, port, _ := net.SplitHostPort(l.Addr().String())
		api = "api.test:" + port
	} else {
		api = origins.startUpstream(b, "api.test", proto, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			w.Write(body)
		}))
	}
	return "https://" + api + "/v1/x", newWorld(b, origins, worldOptions{prefixes: []string{"https://" + api + "/v1"}, change: func(o *Options) { o.Done = nil }})
}

// skipHead reads a header and nothing more.
func skipHead(r *bufio.Reader) error {
	for {
		line, err := r.ReadSlice('\n')
		if err != nil || len(line) == 2 {
			return err
		}
	}
}

// askFixed returns a function that asks once and reads a body of that size.
func askFixed(b *testing.B, w *world, url string) func(size int) {
	authority := url[len("https://") : len(url)-len("/v1/x")]
	c := w.tlsTo(authority, "http/1.1")
	r := bufio.NewReaderSize(c, 64<<10)
	request := []byte(fmt.Sprintf("GET /v1/x HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n\r\n", authority))
	return func(size int) {
		_, err := c.Write(request)
		fatal(b, err)
		fatal(b, skipHead(r))
		_, err = r.Discard(size)
		fatal(b, err)
	}
}

func fetchAll(b *testing.B, c *http.Client, url string) {
	res, err := c.Get(url)
	fatal(b, err)
	_, err = io.Copy(io.Discard, res.Body)
	fatal(b, err)
	res.Body.Close()
}
