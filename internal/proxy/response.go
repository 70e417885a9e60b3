package proxy

import (
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/injectproxy/injectproxy/internal/record"
)

// response is the way back to the client. It writes down what was sent, keeps
// net/http from adding fields that the upstream did not send, and tracks
// connections that are upgraded.
type response struct {
	http.ResponseWriter
	rec     *record.Record
	hijacks *registry
	told    func(*record.Record) // [Options.Answered]; may be nil
	own     bool                 // the answer is the proxy's own
	unread  bool                 // the client left before: what is said now is said to nobody
	last    bool                 // the connection takes no request behind this one
	http1   bool
	body    *bodyWatch // of the request, nil without one

	overtook bool // the answer began before the request's body had ended

	upgraded atomic.Int64 // bytes sent through an upgraded connection, also after the handler's end
}

// newResponse returns the way back for r. Behind an upgrade or a CONNECT that
// was not granted nobody knows where the next request begins: see [framing].
func (p *Proxy) newResponse(w http.ResponseWriter, r *http.Request, rec *record.Record) *response {
	http1 := r.ProtoMajor == 1
	last := http1 && (r.Method == http.MethodConnect || len(r.Header["Upgrade"]) > 0)
	return &response{ResponseWriter: w, rec: rec, hijacks: &p.hijacks, told: p.o.Answered, last: last, http1: http1, body: watch(r)}
}

// Unwrap serves [http.ResponseController].
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements [http.ResponseWriter].
func (w *response) WriteHeader(status int) {
	if status == http.StatusContinue {
		return // net/http says so when the body is read, and would say it twice
	}
	if status >= 200 {
		w.answered(status, isEventStream(w.Header()))
		if !w.own {
			w.overtake()
			keepAbsent(w.Header(), "Content-Type", "Content-Length", "Date")
		}
		if w.last {
			w.Header().Set("Connection", "close")
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

// answered takes note of the final answer. There is but one: what is said behind
// an upgrade whose answer could not be sent reaches nobody.
func (w *response) answered(status int, stream bool) {
	if w.unread || !w.rec.Answered.IsZero() {
		return
	}
	w.rec.Status, w.rec.Stream, w.rec.Answered = status, stream, time.Now()
	if w.told != nil {
		w.told(w.rec)
	}
}

func isEventStream(h http.Header) bool {
	mediaType, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(mediaType), "text/event-stream")
}

// overtake lets the upstream's answer begin while the client still sends.
// net/http would read the rest of an HTTP/1 request first, and two sides that
// talk at once would wait for each other. The rest may never come, so the
// connection takes no further request.
func (w *response) overtake() {
	if w.http1 && w.body != nil && !w.body.ended.Load() {
		http.NewResponseController(w.ResponseWriter).EnableFullDuplex()
		w.last, w.overtook = true, true
	}
}

// breakOff is deferred around the copying of an answer to HTTP/1.0. There the
// connection's end is the body's, and net/http would end a body that broke off
// like one that is whole.
func (w *response) breakOff() {
	v := recover()
	if v == nil {
		return
	}
	if c, err := hijack(w.ResponseWriter); err == nil {
		abort(c)
	}
	panic(v)
}

// settle ends all use of a request's body that was overtaken, before the
// handler returns. net/http waits for its connection to be free of readers
// then, and waits for ever if one of them comes to the body's end meanwhile.
func (w *response) settle() {
	if !w.overtook {
		return
	}
	rc := http.NewResponseController(w.ResponseWriter)
	w.body.release(func() { rc.SetReadDeadline(time.Unix(1, 0)) })
	rc.SetReadDeadline(time.Now().Add(lingerTimeout)) // net/http reads some of the rest
}

// lingerTimeout is how long a client may go on to send what nobody waits for.
// A connection that is closed at once takes the answer with it.
const lingerTimeout = 5 * time.Second

// keepAbsent stops net/http from filling in fields that are not there.
func keepAbsent(h http.Header, keys ...string) {
	for _, k := range keys {
		if _, ok := h[k]; !ok {
			h[k] = nil
		}
	}
}

// Write implements [http.ResponseWriter].
func (w *response) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	if !w.unread {
		w.rec.Bytes += int64(n)
	}
	return n, err
}

// takeOver takes the client's connection for an upgrade. It keeps the bytes that
// the client sent right behind its request.
func (w *response) takeOver() (*trackedConn, error) {
	c, err := hijack(w.ResponseWriter)
	if err != nil {
		return nil, err
	}
	remove, ok := w.hijacks.add(c)
	if !ok {
		c.Close()
		return nil, net.ErrClosed
	}
	w.answered(http.StatusSwitchingProtocols, true)
	return &trackedConn{Conn: c, remove: remove, sent: &w.upgraded}, nil
}

// trackedConn counts what is sent and leaves the registry when it is closed.
type trackedConn struct {
	net.Conn
	remove func()
	sent   *atomic.Int64
}

// Write implements net.Conn.
func (c *trackedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.sent.Add(int64(n))
	return n, err
}

// Close implements net.Conn.
func (c *trackedConn) Close() error {
	defer c.remove()
	return c.Conn.Close()
}

// CloseWrite closes the write side, where the connection has one.
func (c *trackedConn) CloseWrite() error { return closeWrite(c.Conn) }

// answer sends an answer of the proxy's own.
func (w *response) answer(a *Answer, r *http.Request) {
	w.own = true
	if !w.unread && w.rec.Answered.IsZero() {
		w.rec.Problem = a.Title
	}
	w.hurry()
	a.write(w, r)
}

// hurry keeps an answer of the proxy's own from waiting for a client that does
// not end its HTTP/1 request. Reading what is left lets the connection carry
// the next request, so that is tried for a while, as net/http does without end;
// but where somebody has been waiting for more of the body, the client has had
// its time.
func (w *response) hurry() {
	if !w.http1 || w.body == nil || w.body.ended.Load() {
		return
	}
	if w.body.waiting.Load() > 0 {
		w.overtake()
		return
	}
	http.NewResponseController(w.ResponseWriter).SetReadDeadline(time.Now().Add(lingerTimeout))
}
