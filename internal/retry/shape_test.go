package retry_test

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"sync"
	"testing"
)

func TestTrailersArriveWithTheReplay(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		r := newRoute(t, serve(t, proto, func(w http.ResponseWriter, r *http.Request) {
			only("token-2")(w, r)
			if bearer(r) == "token-2" {
				want(t, "trailer", r.Trailer.Get("X-Checksum"), "abc")
				want(t, "smuggled trailer", r.Trailer.Get("Authorization"), "")
			}
		}))
		req, _ := r.request("POST", nil)
		req.Trailer = http.Header{"X-Checksum": nil}
		body := stream{bytes.NewReader(make([]byte, 100<<10))}
		req.Body, req.ContentLength = &ending{Reader: body, end: func() {
			req.Trailer.Set("X-Checksum", "abc")
			req.Trailer.Set("Authorization", "Bearer smuggled")
		}}, -1
		status, _ := r.send(req)
		want(t, "status", status, 200)
	})
}

// ending does something at the end of a body, as a server does with trailers.
type ending struct {
	io.Reader
	once sync.Once
	end  func()
}

func (e *ending) Read(p []byte) (int, error) {
	n, err := e.Reader.Read(p)
	if err == io.EOF {
		e.once.Do(e.end)
	}
	return n, err
}

func (e *ending) Close() error { return nil }

func TestExpectContinueRefusedBeforeTheBodyIsAskedFor(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		r := newRoute(t, serve(t, proto, func(w http.ResponseWriter, r *http.Request) {
			if bearer(r) != "token-2" {
				deny(w)
				return
			}
			only("token-2")(w, r)
		}))
		data, sum := content(300 << 10)
		req, _ := r.request("POST", bytes.NewReader(data))
		req.Header.Set("Expect", "100-continue")
		status, answer := r.send(req)
		want(t, "status", status, 200)
		want(t, "hash of the body that arrived", answer, sum)
		r.released()
	})
}

func TestUpgradeIsRetriedAndSwitches(t *testing.T) {
	t.Parallel()
	r := newRoute(t, serve(t, "HTTP/1.1", func(w http.ResponseWriter, r *http.Request) {
		if bearer(r) != "token-2" {
			deny(w)
			return
		}
		conn, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		line, _ := buf.ReadString('\n')
		io.WriteString(conn, line)
	}))
	req, _ := r.request("GET", nil)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "echo")
	resp, err := r.chain.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	want(t, "status", resp.StatusCode, 101)
	conn, ok := resp.Body.(io.ReadWriteCloser)
	if !ok {
		t.Fatal("the switched connection cannot be written to")
	}
	io.WriteString(conn, "hello\n")
	line, err := bufio.NewReader(conn).ReadString('\n')
	want(t, "error", err, nil)
	want(t, "echo", line, "hello\n")
}
