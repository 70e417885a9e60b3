package gate

import (
	"strings"
	"time"
)

// mostRefused is how often a request goes to an upstream that says each time that
// it was not processed, with pauses that add up to about ten seconds.
const mostRefused = 10

// unprocessed reports whether err says that the upstream has not begun with a
// request over HTTP/2: it refused the stream, because there were too many, or said
// goodbye on the connection before it came to it (RFC 9113, sections 8.7 and 6.8),
// or no connection had room for it. Such a request may be sent again, as no other
// may that was sent.
//
// net/http says so in words alone, for a request that it cannot repeat by itself.
// Words that are not known mean that it may have been carried out.
func (a *asking) unprocessed(err error) bool {
	if err.Error() == "net/http: cannot rewind body after connection loss" {
		return !a.wrote.Load()
	}
	said, ok := strings.CutPrefix(err.Error(), "http2: Transport: cannot retry err [")
	if !ok {
		return false
	}
	why, _, _ := strings.Cut(said, "]")
	return strings.HasPrefix(why, "stream error: ") && strings.HasSuffix(why, "; REFUSED_STREAM; received from peer") ||
		why == "http2: Transport received Server's graceful shutdown GOAWAY"
}

// pause waits before the request is sent for the n-th time again. It is false if
// nobody waits for the answer any more.
func (a *asking) pause(n int) bool {
	if n == 1 {
		return true
	}
	t := time.NewTimer(10 * time.Millisecond << n)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-a.req.Context().Done():
		return false
	}
}
