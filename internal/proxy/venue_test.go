package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/coder/websocket"
)

// venue is a proxy with streams of each kind open through it.
type venue struct {
	*behind
	holds map[string]turns // by path: the stream ends when it gets its turn
	open  map[string]stream
}

// stream is one thing in flight.
type stream struct {
	finish func() error // lets it end and returns an error if it does not end well
	cut    func() error // returns how it ended without being let
}

func newVenue(t *testing.T) *venue {
	t.Helper()
	v := &venue{holds: map[string]turns{"/1": make(turns), "/2": make(turns), "/3": make(turns), "/4": make(turns)}}
	v.behind = newBehind(t, newOrigins(t), always(nil))
	v.upstream.answer = v.serve
	v.open = map[string]stream{
		"HTTP/1.1 stream": v.body("h1", "https://"+v.api, "/1"),
		"HTTP/2 stream":   v.body("h2", "https://"+v.api, "/2"),
		"plain stream":    v.body("h1", "http://"+v.plain, "/3"),
		"tunnel":          v.tunnel(),
		"WebSocket":       v.webSocket(),
	}
	return v
}

// serve sends one line at once, and another when it is its turn.
func (v *venue) serve(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != "" {
		v.serveWebSocket(w, r)
		return
	}
	io.WriteString(w, "first\n")
	if r.URL.Path == "/short" {
		return
	}
	flush(w)
	if v.holds[r.URL.Path].wait(r.Context()) {
		io.WriteString(w, "last\n")
	}
}

func (v *venue) serveWebSocket(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	for {
		typ, b, err := c.Read(r.Context())
		if err != nil || c.Write(r.Context(), typ, b) != nil {
			return
		}
	}
}

// body is the body of an answer that has begun.
func (v *venue) body(proto, origin, path string) stream {
	v.t.Helper()
	res, err := v.client(proto).Get(origin + path)
	fatal(v.t, err)
	v.t.Cleanup(func() { res.Body.Close() })
	lines := bufio.NewReader(res.Body)
	if s, err := lines.ReadString('\n'); err != nil || s != "first\n" {
		v.t.Fatalf("%s: %q, %v", origin, s, err)
	}
	return stream{
		finish: func() error {
			v.holds[path] <- struct{}{}
			return wantRest(lines, "last\n")
		},
		cut: func() error { _, err := io.Copy(io.Discard, lines); return err },
	}
}

func wantRest(r io.Reader, want string) error {
	b, err := io.ReadAll(r)
	if err == nil && string(b) != want {
		err = fmt.Errorf("read %q, want %q", b, want)
	}
	return err
}

func (v *venue) tunnel() stream {
	v.t.Helper()
	c := v.connect(startRaw(v.t, "raw.test", func(c *net.TCPConn) { io.Copy(c, c) }), "")
	return stream{
		finish: func() error {
			io.WriteString(c, "echo")
			closeWrite(c)
			return wantRest(c, "echo")
		},
		cut: func() error { _, err := io.Copy(io.Discard, c); return err },
	}
}

func (v *venue) webSocket() stream {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), guard)
	v.t.Cleanup(cancel)
	c, _, err := websocket.Dial(ctx, "https://"+v.api+"/", &websocket.DialOptions{HTTPClient: v.client("h1")})
	fatal(v.t, err)
	v.t.Cleanup(func() { c.CloseNow() })
	return stream{
		finish: func() error {
			if err := c.Write(ctx, websocket.MessageText, []byte("echo")); err != nil {
				return err
			}
			if _, b, err := c.Read(ctx); err != nil || string(b) != "echo" {
				return fmt.Errorf("echo %q, %w", b, err)
			}
			return c.Close(websocket.StatusNormalClosure, "")
		},
		cut: func() error { _, _, err := c.Read(ctx); return err },
	}
}
