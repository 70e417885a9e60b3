// Package retry mends a refused token: when the upstream answers 401 to a
// request, it has the token replaced by one that provably differs and sends
// the request once more, body and all.
//
// It refuses to send a request a third time, to resend one with the token that
// was refused, to write a body to disk, and to ask again and again for tokens
// that an upstream never accepts.
package retry

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/injectproxy/injectproxy/internal/replay"
	"github.com/injectproxy/injectproxy/internal/token"
)

// Options say what a route retries with. Only Tokens is required.
type Options struct {
	Tokens    *token.Cache     // where the refused token came from
	BodyLimit int64            // bytes of one body that may be held; 0 means none
	Memory    *replay.Budget   // for the bodies of all routes; nil means none
	Now       func() time.Time // the clock of the rests between refreshes; nil means time.Now
	Log       *slog.Logger     // nil discards
	Stats     *Stats           // nil counts nothing
}

// New returns a RoundTripper over next, which attaches tokens and notes them in
// the [token.Use] of the request's context. It is one rule's: it remembers
// whether that rule's upstream accepted the last token. It may be used
// concurrently if next may.
//
// A refusal is a 401, or a 403 whose WWW-Authenticate says invalid_token (RFC
// 6750) or carries claims that decode to a JSON object. If the refused token can
// be replaced and the body is still held, the request is sent again with
// Use.Next set, and the second answer is final. Otherwise the first answer is
// returned as it came, unread; if it is the body that is not held, the token is
// replaced all the same, for the request after. Use.Retry says which it was, and
// unless the refusal was mended Use.Why says why: it is or wraps the error of the
// cache where there is one, with the source that cannot and a hint.
//
// An upstream that refuses the fresh token too is not served with another for
// 30 s, then for twice as long up to 10 min, until it accepts one. An answer of
// the 5xx class says nothing about the token and changes nothing.
func New(next http.RoundTripper, o Options) http.RoundTripper {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &transport{next: next, o: o, rule: rule{now: o.Now}}
}

type transport struct {
	next http.RoundTripper
	o    Options
	rule rule
}

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	use := token.UseFrom(req.Context())
	if use == nil {
		use = new(token.Use)
		req = req.WithContext(token.WithUse(req.Context(), use))
	}
	use.Token, use.Next, use.Retry, use.Why = token.Token{}, token.Token{}, "", nil

	e := t.exchange(req, use)
	defer e.body.Finish()
	resp, err := e.send()
	if err != nil || use.Token.IsZero() {
		return resp, err
	}
	claims, refused := refusal(resp)
	if !refused {
		t.settle(resp)
		return resp, nil
	}
	fresh, why, cause := t.replace(e, claims)
	if why != none {
		t.note(e, why, cause)
		return resp, nil
	}
	e.body.Discard(resp)
	use.Next = fresh
	return t.resend(e, use.Token)
}

// replace returns a token in place of the refused one, or why there is none to
// send. The refused answer is not touched before that is known.
func (t *transport) replace(e *exchange, claims string) (fresh token.Token, why outcome, cause error) {
	ctx := e.req.Context()
	e.body.Halt()
	if until, ok := t.rule.refused(e.use.Token); !ok {
		return token.Token{}, coolingDown, resting(until)
	}
	fresh, err := t.o.Tokens.Replace(ctx, e.use.Token, claims)
	switch {
	case ctx.Err() != nil:
		return token.Token{}, clientLeft, nil
	case errors.Is(err, token.ErrSame):
		return token.Token{}, sameToken, err
	case err != nil:
		return token.Token{}, refreshFailed, err
	}
	// The token is replaced even for a body that is not held: a client that only
	// sends large ones would be refused for ever.
	return fresh, e.flaw(), nil
}

// resend sends the request for the second and last time.
func (t *transport) resend(e *exchange, old token.Token) (*http.Response, error) {
	resp, err := e.send()
	if err != nil {
		t.note(e, resendFailed, nil)
		return nil, err
	}
	if _, refused := refusal(resp); refused {
		t.rule.refusedAgain(e.use.Token)
		t.note(e, refusedAgain, nil)
		return resp, nil
	}
	t.settle(resp)
	t.note(e, healed, nil, slog.String("refused", old.Fingerprint()))
	return resp, nil
}

// settle takes note of an answer that does not refuse the token.
func (t *transport) settle(resp *http.Response) {
	if resp.StatusCode < http.StatusInternalServerError {
		t.rule.accepted()
	}
}

// note writes down how a refusal was handled, and why it was not mended: cause
// is the reason, nil if that is the outcome's own.
func (t *transport) note(e *exchange, o outcome, cause error, attrs ...slog.Attr) {
	e.use.Retry, e.use.Why = o.String(), cause
	if cause == nil {
		e.use.Why = reasons[o]
	}
	t.o.Stats.count(o)
	level := slog.LevelWarn
	switch o {
	case healed:
		level = slog.LevelInfo
	case coolingDown:
		level = slog.LevelDebug // once per request, after a warning that began it
	}
	attrs = append(attrs,
		slog.String("authority", e.req.URL.Host), slog.String("outcome", o.String()),
		slog.String("source", e.use.Token.Source()), slog.String("token", e.use.Token.Fingerprint()))
	if cause != nil {
		attrs = append(attrs, slog.Any("cause", cause))
	}
	if known, ok := errors.AsType[*token.Error](cause); ok && known.Hint != "" {
		attrs = append(attrs, slog.String("hint", known.Hint))
	}
	t.o.Log.LogAttrs(context.WithoutCancel(e.req.Context()), level, "the upstream refused the token", attrs...)
}
