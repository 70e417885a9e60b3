package gate

import (
	"bufio"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// response is the way back to the client. It notes what is sent, and keeps
// net/http from adding fields that nobody sent.
type response struct {
	http.ResponseWriter
	x     *exchange
	told  func(*Request) // may be nil
	last  *atomic.Bool   // the client is to connect anew for more; nil: it need not
	begun bool           // the header of the final answer was sent
}

// Unwrap serves [http.ResponseController].
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements [http.ResponseWriter].
func (w *response) WriteHeader(status int) {
	if w.begun {
		return
	}
	if status >= 200 || status == http.StatusSwitchingProtocols {
		w.answered(status)
		w.x.body.overtaken(w)
		keepAbsent(w.Header(), "Content-Type", "Content-Length", "Date")
		if w.last != nil && w.last.Load() || w.x.listens && w.x.r.ProtoMajor == 1 {
			w.Header().Set("Connection", "close") // over HTTP/2 net/http says GOAWAY
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

// answered notes the final answer.
func (w *response) answered(status int) {
	seen := w.x.seen
	seen.Status, seen.Answered = status, time.Now()
	seen.Stream = status == http.StatusSwitchingProtocols || isEventStream(w.Header())
	w.begun = true
	if w.told != nil && w.x.begun {
		w.told(seen)
	}
}

// Write implements [http.ResponseWriter].
func (w *response) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	n, err := w.ResponseWriter.Write(p)
	w.x.seen.Bytes += int64(n)
	return n, err
}

// FlushError sends what was written, the header first of all.
func (w *response) FlushError() error {
	w.WriteHeader(http.StatusOK)
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Flush implements [http.Flusher].
func (w *response) Flush() { _ = w.FlushError() }

// Hijack implements [http.Hijacker].
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// isEventStream reports whether the answer is an event stream to whoever reads
// it. This is the one place that says so: what is a stream to a client, and none to
// the gate, would not be screened.
func isEventStream(h http.Header) bool { return isOf(h, "text/event-stream") }

// isOf reports whether the type of the answer has the name of that one in it, as
// clients look for it. Where the field has parameters that cannot be read, they do
// not mind.
func isOf(h http.Header, media string) bool {
	return strings.Contains(strings.ToLower(strings.Join(h["Content-Type"], ",")), media)
}

// keepAbsent stops net/http from filling in fields that are not there.
func keepAbsent(h http.Header, names ...string) {
	for _, name := range names {
		if _, ok := h[name]; !ok {
			h[name] = nil
		}
	}
}
