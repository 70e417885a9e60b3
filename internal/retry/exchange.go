package retry

import (
	"io"
	"net/http"
	"time"

	"github.com/injectproxy/injectproxy/internal/token"
)

// exchange is one request of a client, with what is needed to send it twice.
type exchange struct {
	next http.RoundTripper
	req  *http.Request
	use  *token.Use
	body *spool  // nil if there is no body, or one that is not held
	why  outcome // why it is not held
}

func (t *transport) exchange(req *http.Request, use *token.Use) *exchange {
	e := &exchange{next: t.next, req: req, use: use}
	length := req.ContentLength
	switch {
	case req.Body == nil || req.Body == http.NoBody:
	case length > t.o.BodyLimit:
		e.why = bodyTooLarge
	default:
		if length == 0 {
			length = -1 // net/http's way to say so when there is a body
		}
		e.body = newSpool(req.Body, length, t.o.BodyLimit, t.o.Memory)
	}
	return e
}

// send makes one attempt. The trailers stay the client's own map: their values
// come into it at the end of the body, whichever attempt reads that.
func (e *exchange) send() (*http.Response, error) {
	if e.body == nil {
		return e.next.RoundTrip(e.req)
	}
	body, err := e.body.open()
	if err != nil {
		return nil, err
	}
	attempt := e.req.WithContext(e.req.Context())
	attempt.Body, attempt.GetBody = body, e.body.open
	resp, err := e.next.RoundTrip(attempt)
	if resp != nil {
		resp.Request = e.req
	}
	return resp, err
}

func (e *exchange) halt() {
	if e.body != nil {
		e.body.halt()
	}
}

func (e *exchange) flaw() outcome {
	if e.body != nil {
		return e.body.flaw()
	}
	return e.why
}

func (e *exchange) finish() {
	if e.body != nil {
		e.body.finish()
	}
}

// A refusal's body is read so far and so long that an HTTP/1 connection can
// carry the second attempt. Without an end in sight, a new connection is
// cheaper.
const (
	drainBytes = 64 << 10
	drainTime  = time.Second
)

// discard detaches the first attempt and ends it.
func (e *exchange) discard(resp *http.Response) {
	sent := e.body == nil || e.body.leave()
	if sent && resp.ProtoMajor == 1 {
		late := time.AfterFunc(drainTime, func() { resp.Body.Close() })
		defer late.Stop()
		io.CopyN(io.Discard, resp.Body, drainBytes)
	}
	resp.Body.Close()
}
