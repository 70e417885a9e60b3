package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/injectproxy/injectproxy/internal/proxy"
	"github.com/injectproxy/injectproxy/internal/record"
	"github.com/injectproxy/injectproxy/internal/token"
)

type besideKey struct{}

// apart returns a context for what goes on beside a request: what is learned
// of it is not that request's.
func apart(ctx context.Context) context.Context {
	own := *record.FromContext(ctx)
	return context.WithValue(record.NewContext(ctx, &own), besideKey{}, true)
}

// beside gives those requests that nobody sent but the proxy, to put a session
// in the place of a lost one, a refused token as an error: there is no client to
// hand a 401 to, and who waits for the session is to know why it does not come.
// Several go at once in one context, and each has a token of its own to lose.
type beside struct{ explaining }

// RoundTrip implements [http.RoundTripper].
func (t beside) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Context().Value(besideKey{}) == nil {
		return t.next.RoundTrip(r)
	}
	r = r.WithContext(token.WithUse(r.Context(), new(token.Use)))
	res, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	a := t.answer(r, res, nil)
	if a == nil {
		return res, nil
	}
	discard(res)
	return nil, a
}

// wantsToken reports whether err is for want of a token that the server takes,
// which its answer says how to get.
func wantsToken(err error) bool {
	if a, ok := errors.AsType[*proxy.Answer](err); ok && a.Received == http.StatusUnauthorized {
		return true
	}
	_, ok := errors.AsType[*token.Error](err)
	return ok
}
