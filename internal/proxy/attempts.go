package proxy

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
)

// maxAttempts is how often one request may be begun before no further
// connection is made for it. net/http tries again by itself where it believes
// that an attempt was not processed. It does so at once and without end on an
// HTTP/2 upstream that resets each stream with PROTOCOL_ERROR: a thousand
// connections a second, each with the token and the body on it. Where
// connections end in good order under load, a few attempts are in order.
const maxAttempts = 8

type attemptsKey struct{}

// countAttempts returns req with a count of the attempts to send it. An idle
// HTTP/1 connection that turns out to be closed is none: a pool may have many.
func countAttempts(req *http.Request) *http.Request {
	n := new(atomic.Int32)
	ctx := context.WithValue(req.Context(), attemptsKey{}, n)
	return req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(c httptrace.GotConnInfo) {
			if !c.Reused || speaksHTTP2(c.Conn) {
				n.Add(1)
			}
		},
	}))
}

func speaksHTTP2(c net.Conn) bool {
	tc, ok := c.(interface{ ConnectionState() tls.ConnectionState })
	return ok && tc.ConnectionState().NegotiatedProtocol == "h2"
}

// anotherAttempt refuses a connection for a request that has had its attempts.
func anotherAttempt(ctx context.Context, authority string) error {
	n, ok := ctx.Value(attemptsKey{}).(*atomic.Int32)
	if !ok || n.Load() < maxAttempts {
		return nil
	}
	return &Answer{
		Status: http.StatusBadGateway, Type: "upstream-aborted", Title: "The upstream ended the connection", Reason: "connection_terminated",
		Detail: authority + " ended every attempt at this request before it answered.",
		Hint:   "Try again; if it happens each time, the upstream's log may say why.",
	}
}
