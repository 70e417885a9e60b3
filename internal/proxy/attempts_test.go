package proxy

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
)

// resetting is an HTTP/2 upstream that resets every stream with one code.
type resetting struct {
	authority string
	code      http2.ErrCode
	streams   atomic.Int64
}

func startResetting(t *testing.T, origins *authorityForTests, code http2.ErrCode) *resetting {
	t.Helper()
	l := listenLoopback(t)
	u := &resetting{authority: strings.Replace(l.Addr().String(), "127.0.0.1", "api.test", 1), code: code}
	cfg := &tls.Config{Certificates: []tls.Certificate{origins.issue(t, "api.test", nil)}, NextProtos: []string{"h2"}}
	serveEach(t, l, cfg, u.serve)
	return u
}

func (u *resetting) serve(c net.Conn) {
	defer c.Close()
	if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	f := http2.NewFramer(c, c)
	f.WriteSettings()
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				f.WriteSettingsAck()
			}
		case *http2.HeadersFrame:
			u.streams.Add(1)
			f.WriteRSTStream(frame.StreamID, u.code)
		}
	}
}

// net/http alone would connect and send again for as long as the client waits.
func TestUpstreamThatResetsEveryStreamIsNotAskedForEver(t *testing.T) {
	t.Parallel()
	origins := newOrigins(t)
	for _, code := range []http2.ErrCode{http2.ErrCodeProtocol, http2.ErrCodeInternal} {
		for _, body := range []string{"", "body"} {
			u := startResetting(t, origins, code)
			w := newWorld(t, origins, worldOptions{prefixes: []string{"https://" + u.authority + "/"}})
			res, err := w.client("h2").Post("https://"+u.authority+"/x", "text/plain", strings.NewReader(body))
			fatal(t, err)
			got, err := io.ReadAll(res.Body)
			fatal(t, err)
			res.Body.Close()
			if res.StatusCode != http.StatusBadGateway || !strings.Contains(string(got), "upstream-aborted") {
				t.Errorf("%v: status %d: %s", code, res.StatusCode, got)
			}
			if n := u.streams.Load(); n < 1 || n > maxAttempts {
				t.Errorf("%v with body %q: sent %d times, want at most %d", code, body, n, maxAttempts)
			}
		}
	}
}
