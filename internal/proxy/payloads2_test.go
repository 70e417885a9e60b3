package proxy

import (
	"crypto/tls"
	"io"
	"slices"
	"sync"
	"testing"

	"golang.org/x/net/http2"
)

// payload2 is what a hostile HTTP/2 client sends on one stream.
type payload2 struct {
	name    string
	header  fields // behind or in place of that of a request to /v1/x
	alone   bool   // header is all there is
	body    string
	trailer fields
	answer  int  // 0: the stream is reset, or the connection ended
	passed  bool // it may be forwarded, with what is hostile left out
	early   bool // or be over before what is hostile comes
}

// payloads2 are those that TestMalformedHTTP2IsRefused and
// TestForeignAuthorityInHTTP2IsMisdirected do not have.
func payloads2(authority string) []payload2 {
	pseudo := func(method, scheme, path string) fields {
		return fields{":method", method, ":scheme", scheme, ":authority", authority, ":path", path}
	}
	return []payload2{
		{name: "no method", alone: true, header: fields{":scheme", "https", ":authority", authority, ":path", "/v1/x"}},
		{name: "two methods", header: fields{":method", "POST"}},
		{name: "empty method", alone: true, header: pseudo("", "https", "/v1/x")},
		{name: "line break in the method", alone: true, header: pseudo("GET\r\nX: y", "https", "/v1/x")},
		{name: "request line in the method", alone: true, header: pseudo("GET /v1/smuggled HTTP/1.1\r\nHost: x\r\n\r\nGET", "https", "/v1/x")},
		{name: "no scheme", alone: true, header: fields{":method", "GET", ":authority", authority, ":path", "/v1/x"}},
		{name: "two schemes", header: fields{":scheme", "http"}},
		{name: "no path", alone: true, header: fields{":method", "GET", ":scheme", "https", ":authority", authority}},
		{name: "two paths", header: fields{":path", "/v1/smuggled"}},
		{name: "empty path", alone: true, header: pseudo("GET", "https", "")},
		{name: "asterisk for GET", alone: true, header: pseudo("GET", "https", "*"), answer: 400},
		{name: "NUL in the path", alone: true, header: pseudo("GET", "https", "/v1/x\x00")},
		{name: "request in the path", alone: true, header: pseudo("GET", "https", "/v1/x HTTP/1.1\r\nHost: x\r\n\r\nGET /v1/smuggled")},
		{name: "LF in the path", alone: true, header: pseudo("GET", "https", "/v1/x\nX: y")},
		{name: "line break in the authority", alone: true, header: fields{":method", "GET", ":scheme", "https", ":authority", authority + "\r\nX: y", ":path", "/v1/x"}},
		{name: "unknown pseudo-header", header: fields{":token", "x"}},
		{name: "pseudo-header of an answer", header: fields{":status", "200"}},
		{name: "pseudo-header behind a field", header: fields{"x-a", "b", ":scheme", "https"}},
		{name: "connection", header: fields{"connection", "close"}, answer: 400},
		{name: "proxy-connection", header: fields{"proxy-connection", "keep-alive"}, answer: 400},
		{name: "keep-alive", header: fields{"keep-alive", "timeout=5"}, answer: 400},
		{name: "transfer-encoding", header: fields{"transfer-encoding", "chunked"}, answer: 400},
		{name: "transfer-encoding and chunks", header: fields{"transfer-encoding", "chunked"}, body: "0\r\n\r\nGET /v1/smuggled HTTP/1.1\r\n\r\n", answer: 400},
		{name: "upgrade", header: fields{"upgrade", "h2c"}, answer: 400},
		{name: "te of gzip", header: fields{"te", "gzip"}, answer: 400},
		{name: "te of trailers and gzip", header: fields{"te", "trailers, gzip"}, answer: 400},
		{name: "CR in a value", header: fields{"x-a", "b\rx-c: d"}},
		{name: "LF in a value", header: fields{"x-a", "b\nx-c: d"}},
		{name: "request in a value", header: fields{"x-a", "b\r\n\r\nGET /v1/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"}},
		{name: "line break in a name", header: fields{"x-a: b\r\nx-c", "d"}},
		{name: "colon in a name", header: fields{"x-a:b", "c"}},
		{name: "empty name", header: fields{"", "x"}},
		{name: "NUL in a name", header: fields{"x-a\x00", "b"}},
		{name: "name beyond ASCII", header: fields{"x-\xc3\xa9", "b"}},
		{name: "length, and no body", header: fields{"content-length", "5"}, answer: 200, passed: true},
		{name: "length, and less of a body", header: fields{"content-length", "50"}, body: "hello", answer: 400},
		{name: "length, and more of a body", header: fields{"content-length", "3"}, body: "hello"},
		{name: "length 0, and a body", header: fields{"content-length", "0"}, body: "GET /v1/smuggled HTTP/1.1\r\nHost: x\r\n\r\n", early: true},
		{name: "pseudo-header for a trailer", body: "hello", trailer: fields{":path", "/v1/smuggled"}},
		{name: "line break in a trailer", header: fields{"trailer", "x-sum"}, body: "hello", trailer: fields{"x-sum", "1\r\nx-a: b"}},
		{name: "capital in a trailer", header: fields{"trailer", "x-sum"}, body: "hello", trailer: fields{"X-Sum", "1"}},
		{name: "authorization for a trailer", header: fields{"trailer", "x-sum"}, body: "hello", trailer: fields{"x-sum", "1", "authorization", "Bearer x", "x-token", "x"}},
		{name: "the token's field", header: fields{"x-token", "evil", "x-token", "evil"}, answer: 200, passed: true},
	}
}

// Nothing that HTTP/2 can carry and HTTP/1 cannot, or that has two readings,
// reaches an upstream of either kind.
func TestPayloadsInHTTP2(t *testing.T) {
	t.Parallel()
	origins := newOrigins(t)
	l, authority := startListener(t, origins, "api.test")
	w := newWorld(t, origins, worldOptions{prefixes: []string{"https://" + authority + "/v1"}})
	s := &theater{world: w, authority: authority, listener: l}
	for _, p := range payloads2(authority) {
		t.Run(p.name, func(t *testing.T) {
			header := append(get2("/v1/x", authority), p.header...)
			if p.alone {
				header = p.header
			}
			r := newHTTP2Raw(t, w.tlsTo(authority, "h2")).request(header, p.body, p.trailer)
			if p.early && r.status == 200 {
				p.answer, p.passed = 200, true
			}
			if r.status != p.answer || p.answer == 0 && r.err == nil {
				t.Errorf("%d %s, %v: want status %d", r.status, r.body, r.err, p.answer)
			}
			var targets []string
			for _, q := range s.requests(t, l.take()) {
				targets = append(targets, q.target)
			}
			if p.early && len(targets) > 0 {
				p.passed = true // the request without a body that its header is, before the body came
			}
			if want := []string{"/v1/x"}; !p.passed && len(targets) > 0 || p.passed && !slices.Equal(targets, want) {
				t.Errorf("the upstream heard %q", targets)
			}
		})
	}
}

// hostileFrames are what no client sends in good order. Each ends the stream or the
// connection, and none of them makes a request.
var hostileFrames = map[string]func(*http2Raw) error{
	"DATA on an idle stream":            func(h *http2Raw) error { return h.framer.WriteData(1, true, []byte("x")) },
	"DATA on stream 0":                  func(h *http2Raw) error { return h.frame(http2.FrameData, 0, 0, "x") },
	"HEADERS on stream 0":               func(h *http2Raw) error { return h.frame(http2.FrameHeaders, 4, 0, "\x82") },
	"HEADERS on an even stream":         func(h *http2Raw) error { return h.frame(http2.FrameHeaders, 4, 2, "\x82") },
	"CONTINUATION of nothing":           func(h *http2Raw) error { return h.frame(http2.FrameContinuation, 4, 1, "\x82") },
	"PUSH_PROMISE":                      func(h *http2Raw) error { return h.frame(http2.FramePushPromise, 4, 1, "\x00\x00\x00\x02\x82") },
	"RST_STREAM of an idle stream":      func(h *http2Raw) error { return h.framer.WriteRSTStream(1, http2.ErrCodeCancel) },
	"WINDOW_UPDATE of an idle stream":   func(h *http2Raw) error { return h.framer.WriteWindowUpdate(1, 1) },
	"WINDOW_UPDATE by nothing":          func(h *http2Raw) error { return h.frame(http2.FrameWindowUpdate, 0, 0, "\x00\x00\x00\x00") },
	"WINDOW_UPDATE beyond the greatest": func(h *http2Raw) error { return h.framer.WriteWindowUpdate(0, 1<<31-1) },
	"SETTINGS on a stream":              func(h *http2Raw) error { return h.frame(http2.FrameSettings, 0, 1, "") },
	"SETTINGS of an odd length":         func(h *http2Raw) error { return h.frame(http2.FrameSettings, 0, 0, "\x00") },
	"SETTINGS of too great a window":    func(h *http2Raw) error { return h.frame(http2.FrameSettings, 0, 0, "\x00\x04\xff\xff\xff\xff") },
	"SETTINGS of too small a frame":     func(h *http2Raw) error { return h.frame(http2.FrameSettings, 0, 0, "\x00\x05\x00\x00\x00\x01") },
	"PING on a stream":                  func(h *http2Raw) error { return h.frame(http2.FramePing, 0, 1, "12345678") },
	"PING of an odd length":             func(h *http2Raw) error { return h.frame(http2.FramePing, 0, 0, "1") },
	"padding beyond the frame":          func(h *http2Raw) error { return h.frame(http2.FrameHeaders, 0xc, 1, "\xff\x82") },
	"a frame that is too large":         func(h *http2Raw) error { return h.frame(http2.FrameData, 0, 1, string(make([]byte, 1<<20+1))) },
	"a header that is no HPACK":         func(h *http2Raw) error { return h.frame(http2.FrameHeaders, 5, 1, "\xff\xff\xff\xff\xff\xff\xff\xff") },
	"an index beyond the table":         func(h *http2Raw) error { return h.frame(http2.FrameHeaders, 5, 1, "\x82\x87\x84\xfe") },
	"a table that grows without leave":  func(h *http2Raw) error { return h.frame(http2.FrameHeaders, 5, 1, "\x3f\xe1\xff\xff\x7f\x82\x87\x84") },
	"a string without an end": func(h *http2Raw) error {
		return h.frame(http2.FrameHeaders, 5, 1, "\x82\x87\x84\x00\x7f\xff\xff\xff\x7fx")
	},
	"HTTP/1 behind the preface": func(h *http2Raw) error {
		_, err := h.conn.Write([]byte("GET /v1/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"))
		return err
	},
}

func (h *http2Raw) frame(typ http2.FrameType, flags http2.Flags, stream uint32, payload string) error {
	return h.framer.WriteRawFrame(typ, flags, stream, []byte(payload))
}

// TestHostileFramesEndWhatTheyBreak holds that a connection, or a stream, on
// which the rules were broken ends with the reason and asks for nothing.
func TestHostileFramesEndWhatTheyBreak(t *testing.T) {
	t.Parallel()
	w := newWatched(t, "h2")
	var all sync.WaitGroup
	for name, send := range hostileFrames {
		h := newHTTP2Raw(t, w.tlsTo(w.authority, "h2"))
		all.Go(func() {
			send(h) // may fail: the proxy closes as soon as it has seen enough
			if err := h.reason(); err != nil {
				t.Errorf("%s: ended by %v, want a reason", name, err)
			}
			h.conn.(*tls.Conn).CloseWrite()
			io.Copy(io.Discard, h.conn) // the proxy leaves time to read the reason
		})
	}
	all.Wait()
	w.wantNothingSent(t)
}

// reason reads up to the frame that says why a stream or the connection ends.
func (h *http2Raw) reason() error {
	for {
		f, err := h.framer.ReadFrame()
		if err != nil {
			return err
		}
		switch f := f.(type) {
		case *http2.GoAwayFrame:
			if f.ErrCode != http2.ErrCodeNo {
				return nil
			}
		case *http2.RSTStreamFrame:
			return nil
		}
	}
}
