package gate

import (
	"net/http"
	"strings"
	"time"
)

const (
	// silence is how long nothing is said on a stream before a comment is: what
	// stands between the client and the gate cuts what is idle.
	silence = 15 * time.Second
	// grace is how long what is open for a caller stays so once the token is
	// over.
	grace = 60 * time.Second
)

// until returns when what is open for the caller has to end; the zero time: never.
func (x *exchange) until() time.Time {
	if x.caller == nil {
		return time.Time{}
	}
	return x.caller.Expires.Add(grace)
}

// keep has an event stream reach the client at once, stay open while nothing is
// said, and end when the caller's token has been over for a minute. One that the
// client merely holds open ends when the gate is about to: it can have another
// elsewhere at once, while one that answers a call has time to. Over HTTP/1 nothing is
// served behind it: a client that sent its next call there, as the gate closes the
// connection, would not know whether it was carried out. What is not answered when the
// token ends is told so.
func (g *Gate) keep(x *exchange, res *http.Response) {
	if res.StatusCode/100 != 2 || x.r.Method == http.MethodHead || !isEventStream(res.Header) {
		return
	}
	h := res.Header
	h.Set("X-Accel-Buffering", "no")
	keepForm(h)
	h.Del("Content-Length")
	res.ContentLength = -1
	s := newStream(res.Body, x.until())
	s.said = func(why string) {
		g.o.Log.Debug("a stream was ended", "route", x.route.Path, "method", x.r.Method, "reason", why)
		if s.pending.left() {
			x.seen.Late = true
		}
	}
	s.opaque = h.Get("Content-Encoding") != "" && !strings.EqualFold(h.Get("Content-Encoding"), "identity")
	if x.r.Method == http.MethodPost && !s.opaque {
		s.pending = pendingOf(x.message)
	}
	if x.r.Method == http.MethodGet {
		s.draining, x.listens = g.draining, true
	}
	res.Body = s
}

// keepForm asks those on the way to leave the stream as it is: what compresses it
// holds it back.
func keepForm(h http.Header) {
	said := strings.ToLower(strings.Join(h["Cache-Control"], ","))
	switch {
	case said == "":
		h.Set("Cache-Control", "no-cache, no-transform")
	case !strings.Contains(said, "no-transform"):
		h.Add("Cache-Control", "no-transform")
	}
}
