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

// startTelling starts an HTTP/2 upstream that answers each request with headers
// that hold nothing but the statuses, one behind the other.
func startTelling(t *testing.T, origins *authorityForTests, statuses ...string) (authority string) {
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
			for i, status := range statuses {
				block.Reset()
				e.WriteField(hpack.HeaderField{Name: ":status", Value: status})
				f.WriteHeaders(http2.HeadersFrameParam{StreamID: frame.Header().StreamID, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: i == len(statuses)-1})
			}
		}
	})
	return strings.Replace(l.Addr().String(), "127.0.0.1", "api.test", 1)
}

// HTTP/2 can carry numbers that are no status, and one that it has no use for.
func TestStatusThatHTTP2MustNotCarryIsNone(t *testing.T) {
	t.Parallel()
	origins := newOrigins(t)
	for name, statuses := range map[string][]string{
		"four digits": {"2000"}, "two digits": {"99"}, "negative": {"-200"}, "101": {"101", "200"}, "101 at the end": {"101"},
	} {
		authority := startTelling(t, origins, statuses...)
		w := newWorld(t, origins, worldOptions{prefixes: []string{"https://" + authority + "/v1"}})
		for client, got := range map[string]reply{
			"h1": rawHTTP1(t, w.tlsTo(authority, "http/1.1"), "GET", get1("/v1/x", authority)),
			"h2": newHTTP2Raw(t, w.tlsTo(authority, "h2")).request(get2("/v1/x", authority), "", nil),
		} {
			if got := inShort(got); got != "502" {
				t.Errorf("%s, %s client: %s", name, client, got)
			}
		}
	}
}
