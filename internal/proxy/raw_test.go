package proxy

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// reply is a response read off the wire.
type reply struct {
	status  int
	header  http.Header
	body    string
	trailer http.Header
	err     error // the body or the stream broke
}

// rawHTTP1 sends raw over c and reads the response to a request of the given
// method.
func rawHTTP1(t testing.TB, c net.Conn, method, raw string) reply {
	t.Helper()
	c.SetDeadline(time.Now().Add(guard))
	_, err := io.WriteString(c, raw)
	fatal(t, err)
	return readReply(t, bufio.NewReader(c), method)
}

// readReply reads the final response to a request of the given method.
func readReply(t testing.TB, r *bufio.Reader, method string) reply {
	t.Helper()
	for {
		res, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			t.Errorf("no response: %v", err)
			return reply{err: err}
		}
		if res.StatusCode < 200 {
			continue
		}
		b, err := io.ReadAll(res.Body)
		return reply{res.StatusCode, res.Header, string(b), res.Trailer, err}
	}
}

// http2Raw is an HTTP/2 client that sends what it is told to, malformed or
// not.
type http2Raw struct {
	t      testing.TB
	conn   net.Conn
	framer *http2.Framer
	block  bytes.Buffer
	enc    *hpack.Encoder
	next   uint32
}

func newHTTP2Raw(t testing.TB, c *tls.Conn) *http2Raw {
	t.Helper()
	if p := c.ConnectionState().NegotiatedProtocol; p != "h2" {
		t.Fatalf("negotiated %q, want h2", p)
	}
	c.SetDeadline(time.Now().Add(guard))
	_, err := io.WriteString(c, http2.ClientPreface)
	fatal(t, err)
	h := &http2Raw{t: t, conn: c, framer: http2.NewFramer(c, c), next: 1}
	h.enc = hpack.NewEncoder(&h.block)
	h.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	fatal(t, h.framer.WriteSettings())
	return h
}

// fields are a header in order, "name", "value", ...
type fields []string

func (h *http2Raw) encode(f fields) []byte {
	h.block.Reset()
	for i := 0; i < len(f); i += 2 {
		fatal(h.t, h.enc.WriteField(hpack.HeaderField{Name: f[i], Value: f[i+1]}))
	}
	return h.block.Bytes()
}

// request opens a stream, sends a request and returns the response.
func (h *http2Raw) request(header fields, body string, trailer fields) reply {
	h.t.Helper()
	id := h.next
	h.next += 2
	fatal(h.t, h.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: id, BlockFragment: h.encode(header), EndHeaders: true, EndStream: body == "" && trailer == nil,
	}))
	if body != "" || trailer != nil {
		fatal(h.t, h.framer.WriteData(id, trailer == nil, []byte(body)))
	}
	if trailer != nil {
		fatal(h.t, h.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: h.encode(trailer), EndHeaders: true, EndStream: true}))
	}
	return h.response(id)
}

// response reads frames until stream id has ended.
func (h *http2Raw) response(id uint32) reply {
	r := reply{header: http.Header{}}
	for {
		f, err := h.framer.ReadFrame()
		if err != nil {
			r.err = err
			return r
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				h.framer.WriteSettingsAck()
			}
		case *http2.GoAwayFrame:
			if f.ErrCode != http2.ErrCodeNo {
				r.err = http2.ConnectionError(f.ErrCode)
				return r
			}
		case *http2.RSTStreamFrame:
			if f.StreamID == id && (r.status == 0 || f.ErrCode != http2.ErrCodeNo) {
				r.err = http2.StreamError{StreamID: id, Code: f.ErrCode}
				return r
			}
		case *http2.MetaHeadersFrame:
			into := r.header
			if status := f.PseudoValue("status"); status != "" {
				if r.status, _ = strconv.Atoi(status); r.status < 200 {
					r.status = 0
					continue
				}
			} else {
				r.trailer = http.Header{}
				into = r.trailer
			}
			for _, hf := range f.RegularFields() {
				into.Add(hf.Name, hf.Value)
			}
		case *http2.DataFrame:
			r.body += string(f.Data())
			h.framer.WriteWindowUpdate(0, uint32(len(f.Data()))+1)
		}
		if f.Header().StreamID == id && f.Header().Flags.Has(http2.FlagDataEndStream) && f.Header().Type != http2.FrameSettings {
			return r
		}
	}
}

// reset reports whether the stream was ended with an error.
func (r reply) reset() bool {
	_, ok := errors.AsType[http2.StreamError](r.err)
	return ok
}

// seen is what an upstream saw of a request.
type seen struct {
	proto, method, target, host string
	header, trailer             http.Header
	body                        string
	bodyErr                     error
}

// recorder is an upstream that writes down what it sees and answers with
// answer, or 200.
type recorder struct {
	mu     sync.Mutex
	list   []seen
	answer http.HandlerFunc
}

func (u *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	s := seen{r.Proto, r.Method, r.RequestURI, r.Host, r.Header.Clone(), r.Trailer.Clone(), string(b), err}
	u.mu.Lock()
	u.list = append(u.list, s)
	u.mu.Unlock()
	if u.answer != nil {
		u.answer(w, r)
	}
}

// take returns what was seen since the last call.
func (u *recorder) take() []seen {
	u.mu.Lock()
	defer u.mu.Unlock()
	list := u.list
	u.list = nil
	return list
}

// wantAnswer holds r against the form of the proxy's own answers.
func wantAnswer(t testing.TB, r reply, status int, typ string) {
	t.Helper()
	if r.status != status {
		t.Errorf("status %d, want %d (%s %v)", r.status, status, r.body, r.err)
		return
	}
	if got := r.header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type %q in %q", got, r.body)
	}
	if got := r.header["Proxy-Status"]; len(got) != 1 || !strings.HasPrefix(got[0], "injectproxy; ") {
		t.Errorf("Proxy-Status %q", got)
	}
	if got := r.header["Www-Authenticate"]; got != nil {
		t.Errorf("WWW-Authenticate %q would start a sign-in", got)
	}
	wantProblem(t, r, status, typ)
	for _, leak := range []string{"dial tcp", "x509:", "tls:", "net/http", "goproxy", "read tcp", "EOF", "context", "lookup"} {
		if all := r.body + textOf(r.header); strings.Contains(all, leak) {
			t.Errorf("an answer with the runtime's text %q: %s", leak, all)
		}
	}
}

func wantProblem(t testing.TB, r reply, status int, typ string) {
	t.Helper()
	var p problem
	d := json.NewDecoder(strings.NewReader(r.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		t.Errorf("problem body: %v in %q", err, r.body)
		return
	}
	if p.Type != "urn:injectproxy:problem:"+typ || p.Status != status {
		t.Errorf("problem %q with status %d, want %q with %d", p.Type, p.Status, typ, status)
	}
	if p.Title == "" || p.Detail == "" || p.Hint == "" {
		t.Errorf("a problem without title, detail or hint: %s", r.body)
	}
	if final := r.header.Get("X-Should-Retry") == "false"; final != (p.Error != nil) || final && p.Error.Message != p.Hint {
		t.Errorf("final is %v, error member %+v: %s", final, p.Error, r.body)
	}
}

func textOf(h http.Header) string {
	var b strings.Builder
	h.Write(&b)
	return b.String()
}

// get1 is a GET request of HTTP/1.1.
func get1(target, host string, header ...string) string {
	return request1("GET", target, append([]string{"Host: " + host}, header...), "")
}

func request1(method, target string, header []string, body string) string {
	return method + " " + target + " HTTP/1.1\r\n" + strings.Join(append(header, "", ""), "\r\n") + body
}

// get2 is a GET request of HTTP/2.
func get2(path, authority string, more ...string) fields {
	return append(fields{":method", "GET", ":scheme", "https", ":authority", authority, ":path", path}, more...)
}

// canonical returns f as a Header.
func (f fields) canonical() http.Header {
	h := http.Header{}
	for i := 0; i < len(f); i += 2 {
		k := textproto.CanonicalMIMEHeaderKey(f[i])
		h[k] = append(h[k], f[i+1])
	}
	return h
}
