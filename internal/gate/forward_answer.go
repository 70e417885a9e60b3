package gate

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/textproto"
	"sync"
	"sync/atomic"

	"golang.org/x/net/http/httpguts"
)

// deliver sends the answer to the client, each piece as it comes.
func (g *Gate) deliver(ctx context.Context, x *exchange, res *http.Response) {
	h := x.w.Header()
	g.ownSignIn(x, res.Header)
	x.answerHeader(h, res.Header)
	if x.caller != nil {
		callersOwn(h)
	}
	if res.StatusCode == http.StatusNoContent || res.StatusCode == http.StatusNotModified {
		res.ContentLength, res.Body = -1, http.NoBody // a length of theirs is another answer's
	}
	if len(res.Trailer) > 0 && x.r.ProtoMajor == 1 {
		res.ContentLength = -1 // a length leaves no room for trailers in HTTP/1.1
	}
	if res.ContentLength < 0 && x.r.Method != http.MethodHead {
		delete(h, "Content-Length")
	}
	x.w.WriteHeader(res.StatusCode)
	err := x.copy(res, g.outlet(x))
	if err == nil && res.ContentLength < 0 {
		// Cutting a request ends its connection in good order. What the upstream
		// ends because of that is not whole.
		err = ctx.Err()
	}
	if err != nil {
		if x.r.Context().Err() != nil && !x.seen.Stream {
			x.seen.Late = true
		}
		g.o.Log.Debug("answer broke off", "route", x.route.Path, "upstream", x.seen.Upstream, "error", loggable(err))
		x.breakOff()
	}
	x.trailers(h, res.Trailer)
}

// breakOff ends an answer that has begun so that nobody takes it for whole. To
// HTTP/1.0 the connection's end is the body's, and it has to be a reset.
func (x *exchange) breakOff() {
	if !x.r.ProtoAtLeast(1, 1) {
		if c, _, err := http.NewResponseController(x.w).Hijack(); err == nil {
			if secure, ok := c.(*tls.Conn); ok {
				c = secure.NetConn()
			}
			if tcp, ok := c.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0)
			}
			c.Close()
		}
	}
	panic(http.ErrAbortHandler)
}

// idleBuffer is how much a stream that says nothing holds for what it will say.
const idleBuffer = 4 << 10

var buffers = sync.Pool{New: func() any { return new([16 << 10]byte) }}

// copy sends the body. Nothing waits for what comes behind it, but the header for
// the first bytes where their number is known.
func (x *exchange) copy(res *http.Response, to *outlet) error {
	if res.Body == http.NoBody || x.r.Method == http.MethodHead {
		return nil
	}
	left := res.ContentLength
	if left < 0 {
		if err := to.send(nil, true); err != nil {
			return err
		}
	}
	var buf []byte
	if isEventStream(res.Header) {
		buf = make([]byte, idleBuffer)
	} else {
		pooled := buffers.Get().(*[16 << 10]byte)
		defer buffers.Put(pooled)
		buf = pooled[:]
	}
	for {
		n, err := res.Body.Read(buf)
		if n > 0 {
			left -= int64(n)
			if err := to.send(buf[:n], left != 0); err != nil { // the end of the handler sends the last
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// trailers sends what came behind the body.
func (x *exchange) trailers(h, from http.Header) {
	for name, values := range from {
		if !forThisHop(name) && !x.echoes(values) && httpguts.ValidTrailerHeader(name) {
			h[http.TrailerPrefix+name] = values
		}
	}
}

// early passes informational answers (RFC 9110, section 15.2) on as they come,
// by a goroutine of the Transport's, and none once that has returned: from then on
// the way to the client is the answer's.
type early struct {
	x    *exchange
	mu   sync.Mutex
	over bool
}

func (e *early) pass(status int, fields textproto.MIMEHeader) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.over || status == http.StatusContinue:
		return nil
	case status == http.StatusSwitchingProtocols: // HTTP/2 has no such answer (RFC 9113, section 8.6)
		return errors.New("the upstream switched protocols in HTTP/2")
	case !e.x.r.ProtoAtLeast(1, 1): // its client would take it for the answer
		return nil
	}
	h := e.x.w.Header()
	ours := maps.Clone(h)
	clear(h)
	e.x.answerHeader(h, http.Header(fields))
	e.x.w.WriteHeader(status)
	clear(h)
	maps.Copy(h, ours)
	return nil
}

func (e *early) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.over = true
}

// counted counts an answer among those in flight until its body is closed.
func counted(body io.ReadCloser, n *atomic.Int64) io.ReadCloser {
	c := &countedBody{ReadCloser: body, n: n}
	if w, ok := body.(io.Writer); ok {
		return &countedConn{c, w}
	}
	return c
}

type countedBody struct {
	io.ReadCloser
	n      *atomic.Int64
	closed sync.Once
}

func (b *countedBody) Close() error {
	b.closed.Do(func() { b.n.Add(-1) })
	return b.ReadCloser.Close()
}

// countedConn is the body of an upgrade, which can be written to.
type countedConn struct {
	*countedBody
	io.Writer
}

// CloseWrite closes the write side, where there is one.
func (c *countedConn) CloseWrite() error {
	if h, ok := c.Writer.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return errors.ErrUnsupported
}
