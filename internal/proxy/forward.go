package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
)

// exchange is one request on its way through the proxy.
type exchange struct {
	route    http.RoundTripper
	url      url.URL // that the route is asked for
	host     string  // that it is sent as Host
	upstream string  // authority, for answers and logs

	body  *bodyWatch // of the request, nil without one
	trace httptrace.ClientTrace
	early early
}

// forward sends r down the route of x, and what the route returns back to the
// client. It is what a proxy does by RFC 9110, section 7.6, and no more: see
// docs/decisions/0013. The header of r is used up.
//
// It panics with [http.ErrAbortHandler] where an answer that has begun cannot
// be finished: the client must not take it for whole.
func (p *Proxy) forward(ctx context.Context, out *response, r *http.Request, x *exchange) {
	if !r.ProtoAtLeast(1, 1) {
		defer out.breakOff()
	}
	defer out.settle()
	upgrade, ok := requestFields(r.Header)
	if !ok {
		out.answer(malformedRequest("Its Upgrade is not the name of a protocol."), r)
		return
	}
	req := x.request(ctx, out, r)
	if x.body != nil {
		defer x.body.Close() // who reads on finds it so
	}
	res, err := x.send(req)
	switch {
	case err != nil:
		p.failed(out, req, x, err)
	case res.StatusCode == http.StatusSwitchingProtocols:
		p.upgrade(out, req, x, res, upgrade)
	default:
		p.deliver(out, req, x, res)
	}
}

// request returns r as it goes to the route, with ctx.
func (x *exchange) request(ctx context.Context, out *response, r *http.Request) *http.Request {
	x.early.out = out
	x.trace.Got1xxResponse = x.early.pass
	req := r.WithContext(httptrace.WithClientTrace(ctx, &x.trace))
	req.URL, req.Host, req.Close = &x.url, x.host, false
	if x.body = out.body; x.body != nil {
		req.Body = x.body
	} else {
		req.Body = nil // the Transport sends a request without one again where it may
	}
	return req
}

// send sends req down the route. A request whose body broke off, or was framed
// wrongly, is the client's failure, also where the upstream manages to answer
// to as much as it got of it before its connection is gone.
func (x *exchange) send(req *http.Request) (*http.Response, error) {
	res, err := x.route.RoundTrip(req)
	x.early.end()
	if err != nil {
		return nil, err
	}
	if res.StatusCode < 100 || res.StatusCode > 999 {
		res.Body.Close()
		return nil, fmt.Errorf("the upstream answered with status %d", res.StatusCode)
	}
	if x.body == nil {
		return res, nil
	}
	if broken := x.body.failed.Load(); broken != nil {
		res.Body.Close()
		return nil, malformedBody(*broken)
	}
	return res, nil
}

// failed answers a request whose route returned err.
func (p *Proxy) failed(out *response, req *http.Request, x *exchange, err error) {
	a := answerFor(err, x.upstream)
	if x.body != nil && !isAnswer(err) {
		if broken := x.body.failed.Load(); broken != nil {
			a = malformedBody(*broken)
		}
	}
	left := req.Context().Err() != nil
	if !left && a.Err != nil {
		p.o.Log.Debug("upstream failed", "authority", x.upstream, "error", loggable(a.Err))
	}
	out.unread = left && p.base.Err() == nil // else it is the proxy that ends
	out.answer(a, req)
}

// loggable returns what a log may have of err. Errors of reading HTTP quote what
// was read, which may be of a body.
func loggable(err error) string {
	if _, network := errors.AsType[net.Error](err); network || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.Canceled) || errors.Is(err, http.ErrAbortHandler) {
		return err.Error()
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return fmt.Sprintf("%T", err)
}

func isAnswer(err error) bool {
	_, ok := errors.AsType[*Answer](err)
	return ok
}

// early passes informational answers (RFC 9110, section 15.2) on as they come,
// by a goroutine of the Transport's, and none once the route has returned: from
// then on the way to the client is the answer's.
type early struct {
	out  *response
	mu   sync.Mutex
	over bool
}

func (e *early) pass(status int, fields textproto.MIMEHeader) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.over {
		return nil
	}
	if status == http.StatusSwitchingProtocols {
		// HTTP/2 has no such answer (RFC 9113, section 8.6), and an HTTP/1 client
		// would take it for the last one.
		return errors.New("the upstream switched protocols in HTTP/2")
	}
	h := e.out.Header()
	answerFields(h, http.Header(fields))
	e.out.WriteHeader(status)
	clear(h)
	return nil
}

func (e *early) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.over = true
}

// deliver sends the answer res to the client.
func (p *Proxy) deliver(out *response, req *http.Request, x *exchange, res *http.Response) {
	defer res.Body.Close()
	h := out.Header()
	answerFields(h, res.Header)
	if res.StatusCode == http.StatusNoContent || res.StatusCode == http.StatusNotModified {
		// A length of theirs is that of another answer (RFC 9110, section 8.6).
		// Over HTTP/2 net/http misses a body that it announces.
		res.Body.Close()
		res.Body = http.NoBody
	}
	announced := 0
	if len(res.Trailer) > 0 {
		screenTrailer(res.Trailer)
		announced = len(res.Trailer)
	}
	if announced > 0 {
		announce(h, res.Trailer)
		if req.ProtoMajor == 1 {
			// A declared length leaves no room for trailers in HTTP/1.1.
			res.ContentLength = -1
		}
	}
	if res.ContentLength < 0 {
		delete(h, "Content-Length") // also those over HTTP/2 that are none, or two
	}
	out.WriteHeader(res.StatusCode)
	err := out.copy(req, res)
	if err == nil && res.ContentLength < 0 && res.Body != http.NoBody {
		// Cutting a request ends its connection in good order. An upstream that
		// ends its answer because of that must not have it pass for whole.
		err = req.Context().Err()
	}
	if err != nil {
		p.o.Log.Debug("answer broke off", "authority", x.upstream, "error", loggable(err))
		panic(http.ErrAbortHandler)
	}
	res.Body.Close() // behind it the trailers are complete
	if len(res.Trailer) > 0 {
		screenTrailer(res.Trailer)
		out.trailers(res.Trailer, announced)
	}
}

// announce says in h which trailers will follow.
func announce(h, trailer http.Header) {
	names := make([]string, 0, len(trailer))
	for name := range trailer {
		names = append(names, name)
	}
	h["Trailer"] = []string{strings.Join(names, ", ")}
}

// trailers sends fields behind the body, whether or not they were announced.
func (w *response) trailers(fields http.Header, announced int) {
	prefix := http.TrailerPrefix
	if len(fields) == announced {
		prefix = ""
	}
	h := w.Header()
	for name, values := range fields {
		if len(values) > 0 { // else it was announced and never came
			h[prefix+name] = append(h[prefix+name], values...)
		}
	}
}
