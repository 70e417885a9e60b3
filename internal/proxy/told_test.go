package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/injectproxy/injectproxy/internal/record"
)

// told collects what the hooks of a Proxy are told.
type told struct {
	mu   sync.Mutex
	said []string
	more chan struct{} // receives for each
}

func newTold() *told { return &told{more: make(chan struct{}, 100)} }

func (l *told) say(format string, args ...any) {
	l.mu.Lock()
	l.said = append(l.said, fmt.Sprintf(format, args...))
	l.mu.Unlock()
	l.more <- struct{}{}
}

// until returns the first n things.
func (l *told) until(t testing.TB, n int) []string {
	t.Helper()
	late := time.After(guard)
	for {
		l.mu.Lock()
		said := slices.Clone(l.said)
		l.mu.Unlock()
		if len(said) >= n {
			return said
		}
		select {
		case <-l.more:
		case <-late:
			t.Fatalf("told %q", said)
		}
	}
}

// hooks has l told of requests and tunnels.
func (l *told) hooks(o *Options) {
	o.Began = func(r *record.Record, h http.Header) {
		l.say("began %s %s %t %t trace %s", r.Path, r.Kind, r.Status != 0, r.Answered.IsZero(), h.Get("Traceparent"))
	}
	o.Answered = func(r *record.Record) {
		l.say("answered %s %d stream %t %t", r.Path, r.Status, r.Stream, !r.Answered.Before(r.Start))
	}
	o.Done = func(r *record.Record) {
		l.say("done %s %d bytes %d answered %t problem %t", r.Path, r.Status, r.Bytes, !r.Answered.IsZero(), r.Problem != "")
	}
	o.Tunnel = func(made bool) func(int64, int64) {
		l.say("tunnel %t", made)
		return func(up, down int64) { l.say("tunnel up %d down %d", up, down) }
	}
}

// Each request is told of when it begins, is answered and ends, in this order;
// a stream is answered long before it ends, and who leaves is not answered.
func TestRequestsAreToldInOrder(t *testing.T) {
	t.Parallel()
	eachProtocol(t, func(t *testing.T, client, upstream string) {
		origins := newOrigins(t)
		finish := make(chan struct{})
		left := make(chan struct{})
		authority := origins.startUpstream(t, "api.test", upstream, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/v1/stream":
				w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
				io.WriteString(w, "data: 1\n\n")
				http.NewResponseController(w).Flush()
				<-finish
				io.WriteString(w, "data: 2\n\n")
			case "/v1/left":
				close(left)
				<-r.Context().Done()
			default:
				io.WriteString(w, "hello")
			}
		}))
		l := newTold()
		w := newWorld(t, origins, worldOptions{prefixes: []string{"https://" + authority + "/v1"}, change: l.hooks})
		c := w.client(client)
		get := func(path string, header ...string) *http.Response {
			t.Helper()
			req, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+authority+path, nil)
			fatal(t, err)
			for i := 0; i+1 < len(header); i += 2 {
				req.Header.Set(header[i], header[i+1])
			}
			res, err := c.Do(req)
			fatal(t, err)
			return res
		}
		read := func(res *http.Response) { io.Copy(io.Discard, res.Body); res.Body.Close() }

		read(get("/v1/plain?secret", "Traceparent", "tp"))
		read(get("/elsewhere"))
		var want []string
		want = append(want,
			"began /v1/plain http false true trace tp", "answered /v1/plain 200 stream false true", "done /v1/plain 200 bytes 5 answered true problem false",
			"began /elsewhere  false true trace ", "answered /elsewhere 200 stream false true", "done /elsewhere 200 bytes 5 answered true problem false")
		l.until(t, len(want))

		stream := get("/v1/stream")
		io.ReadFull(stream.Body, make([]byte, 9))
		want = append(want, "began /v1/stream http false true trace ", "answered /v1/stream 200 stream true true")
		if got := l.until(t, len(want)); len(got) != len(want) {
			t.Errorf("while the stream runs: %q", got)
		}
		close(finish)
		read(stream)
		want = append(want, "done /v1/stream 200 bytes 18 answered true problem false")
		l.until(t, len(want))

		req, err := http.NewRequest("TRACE", "https://"+authority+"/v1/own", nil)
		fatal(t, err)
		res, err := c.Do(req)
		fatal(t, err)
		n, _ := io.Copy(io.Discard, res.Body)
		res.Body.Close()
		want = append(want, "began /v1/own http false true trace ", "answered /v1/own 405 stream false true",
			fmt.Sprintf("done /v1/own 405 bytes %d answered true problem true", n))
		l.until(t, len(want))

		req, err = http.NewRequest("GET", "https://"+authority+"/v1/left", nil)
		fatal(t, err)
		ctx, leave := context.WithCancel(t.Context())
		gone := make(chan struct{})
		go func() { defer close(gone); <-left; leave() }()
		defer func() { <-gone }()
		if res, err := c.Do(req.WithContext(ctx)); err == nil {
			res.Body.Close()
			t.Error("who left was answered")
		}
		want = append(want, "began /v1/left http false true trace ", "done /v1/left 0 bytes 0 answered false problem false")
		got := l.until(t, len(want))
		if !slices.Equal(got, want) {
			t.Errorf("told\n%q, want\n%q", got, want)
		}
	})
}

// An upgraded connection is a stream, answered when it is upgraded.
func TestUpgradeIsToldAsAStream(t *testing.T) {
	t.Parallel()
	origins := newOrigins(t)
	authority := origins.startUpstream(t, "api.test", "", http.HandlerFunc(socket))
	l := newTold()
	w := newWorld(t, origins, worldOptions{prefixes: []string{"https://" + authority + "/"}, change: l.hooks})
	c, _, err := websocket.Dial(t.Context(), "wss://"+authority+"/x", &websocket.DialOptions{HTTPClient: w.client("h1")})
	fatal(t, err)
	if got := l.until(t, 2); len(got) != 2 || got[1] != "answered /x 101 stream true true" {
		t.Errorf("told %q", got)
	}
	for range 2 { // its greeting, and what it echoes
		_, _, err := c.Read(t.Context())
		fatal(t, err)
		c.Write(t.Context(), websocket.MessageBinary, make([]byte, 5000))
	}
	_, _, err = c.Read(t.Context())
	fatal(t, err)
	c.CloseNow()
	greeting := len("token https:///") + len(authority)
	if got := l.until(t, 3); got[2] != fmt.Sprintf("done /x 101 bytes %d answered true problem false", 2+greeting+2*(4+5000)) {
		t.Errorf("told %q", got)
	}
}

// pipes is a way to the client that is given away when it is asked for.
type pipes struct {
	http.ResponseWriter
	net.Conn
}

func (p pipes) Write(b []byte) (int, error) { return p.ResponseWriter.Write(b) }

func (p pipes) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return p.Conn, bufio.NewReadWriter(bufio.NewReader(p.Conn), bufio.NewWriter(p.Conn)), nil
}

// A client that leaves as its connection is upgraded is told of once: what is
// said to it then, which it cannot hear, is no second answer.
func TestUpgradeThatCannotBeSentIsToldOnce(t *testing.T) {
	t.Parallel()
	l := newTold()
	w := newWorld(t, newOrigins(t), worldOptions{change: l.hooks})
	ours, theirs := net.Pipe()
	defer ours.Close()
	theirs.Close()
	upstream, behind := net.Pipe()
	defer behind.Close()
	header := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"lines"}}
	route := roundTripperFunc(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusSwitchingProtocols, ProtoMajor: 1, ProtoMinor: 1, Header: header.Clone(), Body: upstream}, nil
	})
	rec := &record.Record{Start: time.Now(), Path: "/x"}
	r := httptest.NewRequest("GET", "https://api.test/x", nil)
	r.Header = header.Clone()
	out := w.proxy.newResponse(pipes{httptest.NewRecorder(), ours}, r, rec)
	w.proxy.forward(t.Context(), out, r, &exchange{route: route, url: *r.URL, upstream: "api.test:443"})
	if got := l.until(t, 1); len(got) != 1 || rec.Status != 101 || !rec.Stream || rec.Problem != "" {
		t.Errorf("told %q; %+v", got, rec)
	}
	if _, err := behind.Write([]byte("x")); err != io.ErrClosedPipe {
		t.Errorf("the upstream's connection is left: %v", err)
	}
}

func TestTunnelsAreToldWithTheirBytes(t *testing.T) {
	t.Parallel()
	origins := newOrigins(t)
	authority := startRaw(t, "other.test", func(c *net.TCPConn) {
		b, _ := io.ReadAll(c)
		c.Write(append(b, b...))
	})
	l := newTold()
	w := newWorld(t, origins, worldOptions{change: l.hooks})
	c := w.connect(authority, "early")
	if got := l.until(t, 1); !slices.Equal(got, []string{"tunnel true"}) {
		t.Errorf("told %q", got)
	}
	io.WriteString(c, "and later")
	closeWrite(c)
	io.Copy(io.Discard, c)
	if got := l.until(t, 2); got[1] != "tunnel up 14 down 28" {
		t.Errorf("told %q", got)
	}
	refused, err := net.Dial("tcp", w.addr)
	fatal(t, err)
	defer refused.Close()
	io.WriteString(refused, "CONNECT unknown.test:1 HTTP/1.1\r\nHost: unknown.test:1\r\n\r\n")
	io.Copy(io.Discard, refused)
	if got := l.until(t, 3); !slices.Equal(got[2:], []string{"tunnel false"}) {
		t.Errorf("told %q", got)
	}
}
