// Package replay holds a request body in memory while it is sent, so that it
// can be sent again: the answer decides, and it comes when the body is gone.
//
// It refuses to delay the first sending, to hold more than it was allowed, for
// one body and in all, and to write a body to disk.
package replay

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// The reasons why a body cannot be sent again.
var (
	ErrTooLarge = errors.New("replay: the body is larger than the limit for one")
	ErrNoRoom   = errors.New("replay: the bodies that are held leave no room")
	ErrBroken   = errors.New("replay: the body broke off")
)

// Body is the body of one request, which may be none. It is held from
// [Hold] to [Body.Finish]. Its methods are called by one goroutine at a time.
type Body struct {
	req   *http.Request
	spool *spool // nil if there is no body, or one that is not held
	flaw  error  // why it is not held
}

// Hold takes over the body of req. Up to limit bytes are held in what memory
// has room for: the limit is for the declared length, or for an undeclared one
// for what was sent before [Body.Halt].
func Hold(req *http.Request, limit int64, memory *Budget) *Body {
	length := req.ContentLength
	switch {
	case req.Body == nil || req.Body == http.NoBody:
		return &Body{req: req}
	case length > limit:
		return &Body{req: req, flaw: ErrTooLarge}
	case length == 0:
		length = -1 // net/http's way to say so when there is a body
	}
	b := new(struct { // one piece of memory
		Body
		spool
	})
	b.spool.init(req.Body, length, limit, memory)
	b.spool.http1 = req.ProtoMajor == 1
	b.Body = Body{req: req, spool: &b.spool}
	return &b.Body
}

// Attempt returns the request for one more attempt, whose body begins with the
// first byte; the attempt before reads no more of it. The trailers stay the
// client's own map: their values come into it at the end of the body, whichever
// attempt reads that. The first attempt does not fail. Nobody changes what is
// returned: it may be the request that was given to [Hold].
func (b *Body) Attempt() (*http.Request, error) {
	if b.spool == nil {
		return b.req, nil
	}
	body, err := b.spool.open()
	if err != nil {
		return nil, err
	}
	out := b.req.WithContext(b.req.Context())
	out.Body, out.GetBody = body, b.spool.open
	return out, nil
}

// Halt stops reading the client's body until the next attempt or the end.
func (b *Body) Halt() {
	if b.spool != nil {
		b.spool.halt()
	}
}

// Flaw says why the body cannot be sent again, nil if it can.
func (b *Body) Flaw() error {
	if b.spool != nil {
		return b.spool.flaw()
	}
	return b.flaw
}

// Whole returns a copy of the body, if that has ended, is no longer than most
// and is held.
func (b *Body) Whole(most int64) (data []byte, ok bool) {
	if b.spool == nil {
		return nil, b.flaw == nil
	}
	return b.spool.whole(most)
}

// Finish says that no attempt will follow. What is held is freed, except for
// what the last one has yet to send. There has been one.
func (b *Body) Finish() {
	if b.spool != nil {
		b.spool.finish()
	}
}

// The answer to an attempt is read so far and so long that an HTTP/1
// connection can carry the next. Without an end in sight, a new connection is
// cheaper.
const (
	drainBytes = 64 << 10
	drainTime  = time.Second
)

// Discard ends the attempt that resp answers.
func (b *Body) Discard(resp *http.Response) {
	sent := b.spool == nil || b.spool.leave()
	if sent && resp.ProtoMajor == 1 {
		late := time.AfterFunc(drainTime, func() { resp.Body.Close() })
		defer late.Stop()
		io.CopyN(io.Discard, resp.Body, drainBytes)
	}
	resp.Body.Close()
}
