package proxy

import (
	"context"
	"net/http"
	"sync/atomic"
)

// maxAttempts is how many connections are made for one request. net/http
// tries again by itself where it believes that an attempt was not processed.
// It does so at once and without end on an HTTP/2 upstream that resets each
// stream with PROTOCOL_ERROR: a thousand connections a second, each with the
// token and the body on it. Where connections end in good order under load, a
// few attempts are in order.
const maxAttempts = 8

// attempts is the context of one request, with a count of the connections
// that were begun for it. Taking an idle one is none: a pool may have many that
// turn out to be closed, and on HTTP/2 net/http itself sets the bound.
type attempts struct {
	context.Context
	begun atomic.Int32
}

type attemptsKey struct{}

// Value implements [context.Context].
func (a *attempts) Value(key any) any {
	if key == (attemptsKey{}) {
		return a
	}
	return a.Context.Value(key)
}

// anotherAttempt refuses a connection for a request that has had its attempts.
func anotherAttempt(ctx context.Context, authority string) error {
	a, ok := ctx.Value(attemptsKey{}).(*attempts)
	if !ok || a.begun.Add(1) <= maxAttempts {
		return nil
	}
	return &Answer{
		Status: http.StatusBadGateway, Type: "upstream-aborted", Title: "The upstream ended the connection", Reason: "connection_terminated",
		Detail: authority + " ended every attempt at this request before it answered.",
		Hint:   "Try again; if it happens each time, the upstream's log may say why.",
	}
}
