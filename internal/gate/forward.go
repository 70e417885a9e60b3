package gate

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// Why a request was given up: the upstream had its time, or net/http was about to
// send it a second time.
var (
	errLate  = errors.New("the upstream did not answer in time")
	errAgain = errors.New("the upstream broke off a request that it had been sent")
)

// asking is a request on its way to an upstream.
type asking struct {
	x     *exchange
	req   *http.Request // but for URL and body, which each attempt has for itself
	early early
	sent  atomic.Bool // there was a connection, and so something may have been sent
	wrote atomic.Bool // the header was sent
	limit int64       // of a body that is not read before
	u     *upstream   // that is asked
}

// forward sends the request upstream and its answer downstream.
//
// It panics with [http.ErrAbortHandler] where the answer has begun and cannot be
// finished: the client must not take it for whole.
func (g *Gate) forward(x *exchange) {
	ctx, cancel := context.WithCancelCause(x.r.Context())
	defer cancel(nil)
	a := g.asking(ctx, x, cancel)
	res, u, err := a.inTime(cancel)
	if err == nil && a.refused(res) {
		res, u, err = g.afresh(a, res, cancel)
	}
	if err != nil {
		g.failed(x, a, err)
		return
	}
	from := res.Body
	defer func() {
		cancel(nil) // over HTTP/2 closing would wait for a read of the request's body
		res.Body.Close()
		from.Close()
	}()
	x.upstream = u
	if broken, ok := x.body.problem(); ok {
		x.refuse(broken) // what the upstream says to a part of the body is no answer
		return
	}
	g.relocate(x, res.Header)
	if res.StatusCode == http.StatusSwitchingProtocols {
		g.upgrade(x, res)
		return
	}
	if err := g.receive(x, res); err != nil {
		g.withheld(x, err)
		return
	}
	g.deliver(ctx, x, res)
}

// asking makes the request that goes upstream.
func (g *Gate) asking(ctx context.Context, x *exchange, cancel context.CancelCauseFunc) *asking {
	a := &asking{x: x, early: early{x: x}, limit: g.o.BodyLimit}
	trace := &httptrace.ClientTrace{
		GotConn: func(got httptrace.GotConnInfo) {
			a.sent.Store(true)
			streams := isHTTP2(got.Conn, x.route.Protocol)
			a.u.streams.Store(streams)
			if streams && a.wrote.Load() {
				cancel(errAgain)
			}
		},
		WroteHeaders:   func() { a.wrote.Store(true) },
		Got1xxResponse: a.early.pass,
	}
	req := x.r.WithContext(httptrace.WithClientTrace(ctx, trace))
	req.Header = g.outgoing(x.r, x.route.plain())
	if x.route.plain() && upgradeType(x.r.Header) == "websocket" {
		req.Header["Connection"], req.Header["Upgrade"] = []string{"Upgrade"}, []string{"websocket"}
	}
	req.RequestURI, req.Close, req.Trailer, req.TransferEncoding = "", false, nil, nil
	x.introduce(req.Header)
	a.req = req
	a.show()
	return a
}

// show puts the token for the upstream on the request, in place of another. The
// request is a new one then: who sends the last may still have that at hand.
func (a *asking) show() {
	if a.x.token == "" {
		return
	}
	req := *a.req
	req.Header = maps.Clone(a.req.Header)
	req.Header["Authorization"] = []string{"Bearer " + a.x.token}
	a.req = &req
}

// inTime sends the request with the route's time limit, if there is one.
func (a *asking) inTime(cancel context.CancelCauseFunc) (*http.Response, *upstream, error) {
	if limit := a.x.route.Timeout; limit > 0 {
		defer time.AfterFunc(limit, func() { cancel(errLate) }).Stop()
	}
	res, u, err := a.send()
	a.early.end()
	if cause := context.Cause(a.req.Context()); cause != nil {
		if err == nil {
			res.Body.Close() // what is said to a request that was cut is no answer
		}
		return nil, nil, cause
	}
	return res, u, err
}

// isHTTP2 reports whether c, to an upstream of that protocol, carries HTTP/2.
// net/http would send a request again there, and again without end, that the server
// has refused by PROTOCOL_ERROR: also one that may have been carried out.
func isHTTP2(c net.Conn, protocol string) bool {
	secure, ok := c.(*tls.Conn)
	return protocol == "h2c" || ok && secure.ConnectionState().NegotiatedProtocol == "h2"
}

// send asks one upstream after the other until one can be reached. Nothing is sent
// twice that may have been carried out: net/http itself sends again only where an
// HTTP/1 connection was closed before it took a byte, or a GET.
func (a *asking) send() (*http.Response, *upstream, error) {
	var err error
	for _, u := range a.x.candidates(time.Now()) {
		a.x.seen.Attempts++
		a.x.seen.Upstream = u.url.Host
		var res *http.Response
		if res, err = a.ask(u); err == nil {
			u.reached()
			return res, u, nil
		}
		if a.req.Context().Err() != nil || a.sent.Load() && !unreached(err) {
			return nil, nil, err
		}
		a.sent.Store(false)
		u.unreachable(err)
	}
	return nil, nil, err
}

// ask sends the request to one upstream, again while that says that it has not
// begun with it.
func (a *asking) ask(u *upstream) (res *http.Response, err error) {
	u.inFlight.Add(1)
	for n := 1; ; n++ {
		a.sent.Store(false)
		a.wrote.Store(false)
		a.u = u
		res, err = u.transport.RoundTrip(a.attempt(u))
		if err == nil {
			res.Body = counted(res.Body, &u.inFlight)
			return res, nil
		}
		if n > mostRefused || a.x.message == nil || !a.unprocessed(err) || !a.pause(n) {
			u.inFlight.Add(-1)
			return nil, err
		}
	}
}

// attempt is the request for one upstream.
func (a *asking) attempt(u *upstream) *http.Request {
	req := *a.req
	req.URL = u.target(a.x.route, a.x.r.URL)
	req.Host = cmp.Or(a.x.route.UpstreamHost, req.Host)
	req.Body, req.GetBody, req.ContentLength = nil, nil, 0
	switch {
	case a.x.message != nil:
		whole(&req, a.x.message.raw, !u.streams.Load())
	case a.x.route.plain() && a.x.body.from != nil:
		req.Body, req.ContentLength = a.x.body.lend(a.limit), a.x.r.ContentLength
	}
	return &req // without the body of a GET or DELETE, on which nobody has decided
}

// whole gives req a body that is in memory. Where it can be had again, net/http
// repeats the request on a connection over HTTP/1 that turns out to be closed
// before it took a byte; over HTTP/2 it would also where that is not safe.
func whole(req *http.Request, raw []byte, again bool) {
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw)), nil }
	req.Body, _ = open()
	req.ContentLength = int64(len(raw))
	if again {
		req.GetBody = open
	}
}

// receive has the other stages see to an answer of the upstream. Each may change
// its header and its body; an error means that it must not go downstream.
func (g *Gate) receive(x *exchange, res *http.Response) error {
	g.overhear(x, res)
	if err := g.bind(x, res); err != nil {
		return err
	}
	if err := g.screen(x, res); err != nil {
		return err
	}
	g.keep(x, res)
	return nil
}
