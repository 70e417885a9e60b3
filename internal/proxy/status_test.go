package proxy

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// startTelling starts an HTTP/2 upstream that answers each request with headers,
// one behind the other, and a body.
func startTelling(t *testing.T, origins *authorityForTests, body string, headers ...fields) (authority string) {
	t.Helper()
	l := listenLoopback(t)
	cfg := &tls.Config{Certificates: []tls.Certificate{origins.issue(t, "api.test", nil)}, NextProtos: []string{"h2"}}
	serveEach(t, l, cfg, func(c net.Conn) {
		defer c.Close()
		if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		f := http2.NewFramer(c, c)
		f.WriteSettings()
		var block bytes.Buffer
		e := hpack.NewEncoder(&block)
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			if s, ok := frame.(*http2.SettingsFrame); ok && !s.IsAck() {
				f.WriteSettingsAck()
			}
			if _, ok := frame.(*http2.HeadersFrame); !ok {
				continue
			}
			id := frame.Header().StreamID
			for i, h := range headers {
				block.Reset()
				for i := 0; i < len(h); i += 2 {
					e.WriteField(hpack.HeaderField{Name: h[i], Value: h[i+1]})
				}
				f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: body == "" && i == len(headers)-1})
			}
			if body != "" {
				f.WriteData(id, true, []byte(body))
			}
		}
	})
	return strings.Replace(l.Addr().String(), "127.0.0.1", "api.test", 1)
}

// HTTP/2 can carry numbers that are no status, and one that it has no use for.
func TestStatusThatHTTP2MustNotCarryIsNone(t *testing.T) {
	t.Parallel()
	origins := newOrigins(t)
	for name, headers := range map[string][]fields{
		"four digits": {{":status", "2000"}}, "two digits": {{":status", "99"}}, "negative": {{":status", "-200"}},
		"101": {{":status", "101"}, {":status", "200"}}, "101 at the end": {{":status", "101"}},
	} {
		for client, got := range bothTold(t, origins, startTelling(t, origins, "", headers...)) {
			if got := inShort(got); got != "502" {
				t.Errorf("%s, %s client: %s", name, client, got)
			}
		}
	}
}

// bothTold returns what clients of both protocols get of an upstream.
func bothTold(t *testing.T, origins *authorityForTests, authority string) map[string]reply {
	t.Helper()
	w := newWorld(t, origins, worldOptions{prefixes: []string{"https://" + authority + "/v1"}})
	return map[string]reply{
		"h1": rawHTTP1(t, w.tlsTo(authority, "http/1.1"), "GET", get1("/v1/x", authority)),
		"h2": newHTTP2Raw(t, w.tlsTo(authority, "h2")).request(get2("/v1/x", authority), "", nil),
	}
}

// A length may be that of an answer which this one only speaks of, and net/http
// does not judge what HTTP/2 does not need.
func TestLengthsOfHTTP2(t *testing.T) {
	t.Parallel()
	origins := newOrigins(t)
	for name, c := range map[string]struct {
		header     fields
		body, want string
	}{
		"304 with a length": {fields{":status", "304", "content-length", "100", "etag", "x"}, "", "304"},
		"204 with a length": {fields{":status", "204", "content-length", "100"}, "", "204"},
		"two lengths":       {fields{":status", "200", "content-length", "5", "content-length", "50"}, "hello", "200 hello"},
		"a signed length":   {fields{":status", "200", "content-length", "+5"}, "hello", "200 hello"},
	} {
		for client, r := range bothTold(t, origins, startTelling(t, origins, c.body, c.header)) {
			if got := inShort(r); got != c.want || r.status == 200 && len(r.header["Content-Length"]) > 0 {
				t.Errorf("%s, %s client: %s %v %v", name, client, got, r.header, r.err)
			}
		}
	}
}
