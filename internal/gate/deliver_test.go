package gate

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"testing"
)

// wire is an upstream that answers each connection's request by what answer does
// with it.
func wire(t *testing.T, answer func(c *net.TCPConn, from *bufio.Reader)) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-ended })
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			from := bufio.NewReader(c)
			if _, err := http.ReadRequest(from); err == nil {
				answer(c.(*net.TCPConn), from)
			}
			c.Close()
		}
	}()
	return "http://" + l.Addr().String()
}

// TestAnAnswerWithoutABodyTellsNoLength holds that the length of another answer,
// which some servers tell beside 204 and 304, does not pass, and that of a HEAD does.
func TestAnAnswerWithoutABodyTellsNoLength(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ method, status, length string }{
		{"GET", "204 No Content", ""}, {"GET", "304 Not Modified", ""}, {"HEAD", "200 OK", "5"},
	} {
		f := stand(t, Options{}, wire(t, func(c2 *net.TCPConn, _ *bufio.Reader) {
			_, _ = io.WriteString(c2, "HTTP/1.1 "+c.status+"\r\nContent-Length: 5\r\n\r\n")
		}))
		res, body := f.do(t, f.request(t, c.method, "/", ""))
		if two, _ := f.over(t, "h2c").do(t, f.request(t, c.method, "/", "")); two.Header.Get("Content-Length") != c.length {
			t.Errorf("%s %s in HTTP/2: %v", c.method, c.status, two.Header)
		}
		if res.Status != c.status || body != "" || res.Header.Get("Content-Length") != c.length {
			t.Errorf("%s %s: %s, %v, %q", c.method, c.status, res.Status, res.Header, body)
		}
	}
}

func TestAnInformationalAnswerPassesOnlyWhereItMay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		status  int
		version int // minor, of HTTP/1
		ended   bool
		passes  bool
		fails   bool
	}{
		{"early hints", 103, 1, false, true, false},
		{"100", 100, 1, false, false, false}, // net/http's own, to the gate alone
		{"101 of HTTP/2", 101, 1, false, false, true},
		{"to HTTP/1.0", 103, 0, false, false, false},
		{"behind the answer", 103, 1, true, false, false},
	} {
		told := &informed{header: http.Header{"Vary": {"Origin"}}}
		e := early{x: &exchange{w: told, r: &http.Request{ProtoMajor: 1, ProtoMinor: c.version}, route: &route{}}}
		if c.ended {
			e.end()
		}
		err := e.pass(c.status, textproto.MIMEHeader{"Link": {"</a>"}, "Connection": {"X-Hop"}, "X-Hop": {"1"}, "Proxy-Authenticate": {"Basic"}})
		if (err != nil) != c.fails || (told.status == c.status) != c.passes || !c.passes && told.status != 0 {
			t.Errorf("%s: %d, %v", c.name, told.status, err)
		}
		if c.passes && (len(told.told) != 1 || told.told.Get("Link") != "</a>") {
			t.Errorf("%s: with %v", c.name, told.told)
		}
		if len(told.header) != 1 || told.header.Get("Vary") != "Origin" {
			t.Errorf("%s: the answer's header became %v", c.name, told.header)
		}
	}
}

// informed keeps the last header that was sent.
type informed struct {
	header, told http.Header
	status       int
}

func (w *informed) Header() http.Header         { return w.header }
func (w *informed) Write(b []byte) (int, error) { return len(b), nil }
func (w *informed) WriteHeader(status int)      { w.status, w.told = status, w.header.Clone() }

// ending is a body that ends well, because its request was cut.
type ending struct{ cut func() }

func (e ending) Read([]byte) (int, error) { e.cut(); return 0, io.EOF }
func (e ending) Close() error             { return nil }

// TestWhatEndsBecauseTheRequestWasCutIsNotWhole holds where nothing else tells the
// end of an answer.
func TestWhatEndsBecauseTheRequestWasCutIsNotWhole(t *testing.T) {
	t.Parallel()
	f := open(t, Options{}, "mcp.example", nobody)
	for _, c := range []struct {
		name         string
		length       int64
		kind         string
		client       bool // has left
		broken, late bool
	}{
		{"a length", 0, "text/plain", true, false, false},
		{"no length", -1, "text/plain", false, true, false},
		{"no length, and the client has left", -1, "text/plain", true, true, true},
		{"a stream, and the client has left", -1, "text/event-stream", true, true, false},
	} {
		client, leave := context.WithCancel(t.Context())
		ctx, cut := context.WithCancel(client)
		if c.client {
			cut = leave
		}
		r := httptest.NewRequestWithContext(client, "GET", "http://mcp.example/", nil)
		x := &exchange{r: r, seen: &Request{}, route: f.routes[0]}
		out := &response{ResponseWriter: httptest.NewRecorder(), x: x}
		x.w, x.body = out, newBody(out, r)
		broken := aborts(t, func() {
			f.deliver(ctx, x, &http.Response{StatusCode: 200, ContentLength: c.length, Body: ending{cut}, Header: http.Header{"Content-Type": {c.kind}}})
		})
		if broken != c.broken || x.seen.Late != c.late {
			t.Errorf("%s: broken off: %v; late: %v", c.name, broken, x.seen.Late)
		}
		cut()
		leave()
	}
}

// TestTrailersOfOneHopStayThere holds of HTTP/1, where net/http passes on any.
func TestTrailersOfOneHopStayThere(t *testing.T) {
	t.Parallel()
	f := stand(t, Options{}, wire(t, func(c *net.TCPConn, _ *bufio.Reader) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"+
			"4\r\nbody\r\n0\r\nX-Sum: 4\r\nProxy-Own: 1\r\nAlt-Svc: x\r\nWww-Authenticate: Basic\r\nCache-Control: x\r\n\r\n")
	}))
	res, body := f.do(t, f.request(t, "GET", "/", ""))
	if body != "body" || res.Trailer.Get("X-Sum") != "4" || len(res.Trailer) != 1 {
		t.Errorf("%q, %v", body, res.Trailer)
	}
}
