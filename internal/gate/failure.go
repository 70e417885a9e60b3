package gate

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"
)

// failed answers a request that no upstream has answered, or none by an answer
// that goes downstream.
func (g *Gate) failed(x *exchange, a *asking, err error) {
	sent := a.sent.Load()
	x.seen.Late = errors.Is(err, errLate) || x.r.Context().Err() != nil && sent
	if x.r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // there is nobody to answer
	}
	g.o.Log.Debug("upstream failed", "route", x.route.Path, "upstream", x.seen.Upstream, "error", loggable(err))
	broken, ok := x.body.problem()
	instead, answered := errors.AsType[*unfit](err)
	switch {
	case ok:
		x.refuse(broken)
	case answered:
		x.refuse(instead.answer)
	case errors.Is(err, errLate):
		x.refuse(late(x.route.Timeout, sent))
	case sent:
		a.u.trouble.warn("an MCP server broke off without an answer", err)
		x.refuse(answer{
			status: http.StatusBadGateway, kind: "upstream-failed",
			title:  "The MCP server broke off without an answer",
			detail: "what was asked for may have been carried out",
		})
	case x.leftBehind(time.Now()) && g.givenUp(x, time.Now()):
		if x.message == nil {
			x.peek()
		}
		x.refuse(noSession)
	default:
		x.refuse(answer{
			status: http.StatusBadGateway, kind: "upstream-unreachable", retryAfter: restAfterFailure,
			title:  "The MCP server cannot be reached",
			detail: "nothing was sent to it",
			hint:   "Try again in a moment; the log of the gate has the reason",
		})
	}
}

// leftBehind reports whether the session of a request that was not sent is at an
// upstream that cannot be reached, while there is another: what clients know to
// begin anew upon is that there is no such session.
func (x *exchange) leftBehind(now time.Time) bool {
	at := x.session.upstream
	return at != nil && slices.ContainsFunc(x.route.upstreams, func(u *upstream) bool { return u != at && !u.rests(now) })
}

// givenUp ends the session of a request that is left behind, if it is to end for
// that. One that gates share is not forgotten, for others may reach its upstream: the
// client asks again, and perhaps another gate, until this one has reached it in vain
// for goneAfter. Then it is told to begin anew: the upstream may be gone for good.
func (g *Gate) givenUp(x *exchange, now time.Time) bool {
	if !g.sessions.Shared() {
		g.lost(x)
		return true
	}
	x.seen.Lost = x.session.upstream.gone(now)
	return x.seen.Lost
}

func late(limit time.Duration, sent bool) answer {
	a := answer{
		status: http.StatusGatewayTimeout, kind: "upstream-timeout",
		title:  "The MCP server did not answer in time",
		detail: fmt.Sprintf("no answer came within %s; what was asked for may have been carried out", limit),
	}
	if !sent {
		a.detail = fmt.Sprintf("it could not be reached within %s; nothing was sent to it", limit)
	}
	return a
}

// withheld answers in place of an answer that must not be shown.
func (g *Gate) withheld(x *exchange, err error) {
	if x.r.Context().Err() != nil {
		panic(http.ErrAbortHandler)
	}
	level := slog.LevelWarn
	own, isOwn := errors.AsType[*unfit](err)
	if x.seen.Lost || isOwn && own.kind == sessionsUnknown.kind { // which are told of by themselves
		level = slog.LevelDebug
	}
	g.o.Log.Log(x.r.Context(), level, "an answer was not passed on", "route", x.route.Path, "upstream", x.seen.Upstream, "error", loggable(err))
	said := answer{
		status: http.StatusBadGateway, kind: "upstream-answer",
		title: "The answer of the MCP server cannot be passed on",
		hint:  "The log of the gate has the reason",
	}
	if isOwn {
		said = own.answer
	} else if why, ok := errors.AsType[hidden](err); ok {
		said.detail, said.denied = why.Error(), deniedAnswer
	}
	x.refuse(said)
}

// loggable returns what a log may have of err. Errors of reading HTTP quote what
// was read, which may be of a body.
func loggable(err error) string {
	if why, ok := errors.AsType[hidden](err); ok {
		return why.Error()
	}
	if why, ok := errors.AsType[*unfit](err); ok {
		return why.Error()
	}
	if _, network := errors.AsType[net.Error](err); network || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, context.Canceled) || errors.Is(err, http.ErrAbortHandler) || errors.Is(err, errLate) || errors.Is(err, errAgain) || unreached(err) {
		return err.Error()
	}
	if why := insecure(err); why != nil {
		return why.Error()
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return fmt.Sprintf("%T", err)
}

// insecure is what of err says why there is no TLS with an upstream; nil: it does
// not.
func insecure(err error) error {
	if why, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return why
	}
	if why, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return errors.New("tls: " + why.Msg) // it also has the bytes
	}
	if errors.Is(err, http.ErrSchemeMismatch) {
		return http.ErrSchemeMismatch
	}
	return nil
}
