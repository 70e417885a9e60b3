package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// socket is a WebSocket upstream: it sends back each message, ends by itself
// at "/bye", and lets nobody into "/closed". Its first message is the token
// that it was sent.
func socket(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/closed" {
		w.Header().Set("X-Reason", "no entry")
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, "not for you")
		return
	}
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"mcp"}})
	if err != nil {
		return
	}
	defer c.CloseNow()
	c.SetReadLimit(-1)
	c.Write(r.Context(), websocket.MessageText, []byte("token "+r.Header.Get("X-Token")))
	if r.URL.Path == "/bye" {
		c.Close(websocket.StatusGoingAway, "bye")
		return
	}
	for {
		kind, message, err := c.Read(r.Context())
		if err != nil {
			return
		}
		if err := c.Write(r.Context(), kind, message); err != nil {
			return
		}
	}
}

// ways are how a WebSocket can pass the proxy.
var ways = []string{"intercepted", "intercepted, dual upstream", "intercepted, with a timeout", "tunnelled", "plain http"}

// dialSocket opens a WebSocket that goes the given way, and checks the token.
func dialSocket(t *testing.T, way, path string) (*websocket.Conn, *http.Response, context.Context, error) {
	t.Helper()
	w, url := socketWorld(t, way, http.HandlerFunc(socket))
	ctx, cancel := context.WithTimeout(context.Background(), guard)
	t.Cleanup(cancel)
	c, res, err := websocket.Dial(ctx, url+path, &websocket.DialOptions{HTTPClient: w.client("h1"), Subprotocols: []string{"mcp"}})
	if err != nil {
		return nil, res, ctx, err
	}
	t.Cleanup(func() { c.CloseNow() })
	c.SetReadLimit(-1)
	want := "token "
	if strings.HasPrefix(way, "intercepted") {
		want += url + "/"
	}
	if _, got, err := c.Read(ctx); err != nil || string(got) != want {
		t.Fatalf("first message %q, %v, want %q", got, err, want)
	}
	return c, res, ctx, nil
}

// socketWorld starts h as an upstream that is reached the given way, and
// returns its URL without a path.
func socketWorld(t *testing.T, way string, h http.Handler) (*world, string) {
	t.Helper()
	origins := newOrigins(t)
	proto := map[string]string{"intercepted, dual upstream": "h2"}[way]
	if way == "plain http" {
		l := listenLoopback(t)
		s := &http.Server{Handler: h, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
		done := make(chan error, 1)
		go func() { done <- s.Serve(l) }()
		t.Cleanup(func() { s.Close(); <-done })
		return newWorld(t, origins, worldOptions{}), "http://" + strings.Replace(l.Addr().String(), "127.0.0.1", "api.test", 1)
	}
	authority := origins.startUpstream(t, "api.test", proto, h)
	var o worldOptions
	if way != "tunnelled" {
		o.prefixes = []string{"https://" + authority + "/"}
	}
	if way == "intercepted, with a timeout" {
		o.route = func(prefix string, next http.RoundTripper) http.RoundTripper {
			return attachToken(prefix, WithTimeout(next, guard))
		}
	}
	return newWorld(t, origins, o), "https://" + authority
}

func eachWay(t *testing.T, f func(t *testing.T, way string)) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) { f(t, way) })
	}
}

func TestWebSocketEcho(t *testing.T) {
	t.Parallel()
	big := bytes.Repeat([]byte("0123456789abcdef"), 4<<20/16)
	eachWay(t, func(t *testing.T, way string) {
		c, res, ctx, err := dialSocket(t, way, "/")
		fatal(t, err)
		if got := res.Header.Get("Sec-Websocket-Protocol"); got != "mcp" {
			t.Errorf("subprotocol %q", got)
		}
		for i := range 20 {
			message := fmt.Sprintf("message %d", i)
			fatal(t, c.Write(ctx, websocket.MessageText, []byte(message)))
			if kind, got, err := c.Read(ctx); err != nil || kind != websocket.MessageText || string(got) != message {
				t.Fatalf("echo %q, %v", got, err)
			}
		}
		fatal(t, c.Write(ctx, websocket.MessageBinary, big))
		if kind, got, err := c.Read(ctx); err != nil || kind != websocket.MessageBinary || !bytes.Equal(got, big) {
			t.Fatalf("echo of %d bytes, %v", len(got), err)
		}
		// The client closes first: it waits for the server's closing frame.
		if err := c.Close(websocket.StatusNormalClosure, "done"); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
}

func TestWebSocketThatTheServerCloses(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, way string) {
		c, _, ctx, err := dialSocket(t, way, "/bye")
		fatal(t, err)
		_, _, err = c.Read(ctx)
		if got := websocket.CloseStatus(err); got != websocket.StatusGoingAway {
			t.Errorf("the client was told %v", err)
		}
	})
}

func TestRefusedWebSocketPasses(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, way string) {
		_, res, _, err := dialSocket(t, way, "/closed")
		if err == nil || res == nil {
			t.Fatalf("answer %v, error %v", res, err)
		}
		body, _ := io.ReadAll(res.Body)
		if res.StatusCode != http.StatusForbidden || res.Header.Get("X-Reason") != "no entry" || string(body) != "not for you" {
			t.Errorf("%s %v %q", res.Status, res.Header, body)
		}
	})
}

// textFrame returns a client's WebSocket frame (RFC 6455, section 5.2) with a
// mask of zeros.
func textFrame(message string) []byte {
	b := []byte{0x81, 0x80 | 126}
	b = binary.BigEndian.AppendUint16(b, uint16(len(message)))
	return append(append(b, 0, 0, 0, 0), message...)
}

// A client that does not wait for 101 sends its first frame in the segment of
// the request.
func TestFrameBehindTheUpgradeRequestIsNotLost(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, way string) {
		w, url := socketWorld(t, way, http.HandlerFunc(socket))
		c, target := w.openFor(t, url)
		message := strings.Repeat("early ", 1000)
		request := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", target, hostOf(url))
		_, err := c.Write(append([]byte(request), textFrame(message)...))
		fatal(t, err)
		answers := bufio.NewReader(c)
		if head := readHeadFrom(t, answers); !strings.HasPrefix(head, "HTTP/1.1 101 ") || !strings.Contains(head, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") {
			t.Fatalf("answer %s", head)
		}
		readFrame(t, answers) // the token
		if got := readFrame(t, answers); got != message {
			t.Errorf("echo of %d bytes, want %d", len(got), len(message))
		}
	})
}

func readFrame(t *testing.T, r io.Reader) string {
	t.Helper()
	head := make([]byte, 2)
	_, err := io.ReadFull(r, head)
	fatal(t, err)
	length := int(head[1])
	if length == 126 {
		extended := make([]byte, 2)
		_, err = io.ReadFull(r, extended)
		fatal(t, err)
		length = int(binary.BigEndian.Uint16(extended))
	}
	message := make([]byte, length)
	_, err = io.ReadFull(r, message)
	fatal(t, err)
	return string(message)
}

func hostOf(url string) string {
	_, host, _ := strings.Cut(url, "://")
	return host
}

// openFor opens a connection on which HTTP/1.1 to url can be spoken, and
// returns the target of requests for its root.
func (w *world) openFor(t *testing.T, url string) (net.Conn, string) {
	t.Helper()
	if !strings.HasPrefix(url, "http://") {
		host, _, _ := net.SplitHostPort(hostOf(url))
		c := tls.Client(w.connect(hostOf(url), ""), &tls.Config{RootCAs: w.trust(), ServerName: host})
		return c, "/"
	}
	c, err := net.Dial("tcp", w.addr)
	fatal(t, err)
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(guard))
	return c, url + "/"
}
