package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
	"github.com/injectproxy/injectproxy/internal/proxy"
	"github.com/injectproxy/injectproxy/internal/token"
)

// restLimit is how long an answer waits for what is left of the request's
// body, which holds the id that it is for.
const restLimit = 5 * time.Second

// explaining gives the failures that only a person can mend the one shape that
// agents show to their user as it is: the error of the JSON-RPC request that
// failed. Agents take another status for a lost server, and a 401 for a reason
// to begin a sign-in of their own. Where there is no such request the failure
// keeps its status; the body of one that met a notification or a response says
// it as JSON-RPC as well.
//
// It keeps the beginning of a body as it is sent, and neither waits for it nor
// holds it back until there is something to explain.
type explaining struct {
	next     http.RoundTripper
	rule     string
	audience string
	refusals bool    // explain a 401 that was not mended, too
	held     *memory // for the bodies of one rule
}

// RoundTrip implements [http.RoundTripper].
func (t explaining) RoundTrip(r *http.Request) (*http.Response, error) {
	out, body := t.watch(r)
	res, err := t.next.RoundTrip(out)
	a := t.answer(r, res, err)
	if a == nil {
		body.finish()
		if res != nil {
			res.Request = r
		}
		return res, err
	}
	if res != nil {
		discard(res)
	}
	ctx, cancel := context.WithTimeout(r.Context(), restLimit)
	defer cancel()
	m, _ := jsonrpc.Parse(body.whole(ctx)) // an error leaves the plain status
	switch m.Kind {
	case jsonrpc.Request:
		a.ID = m.ID
	case jsonrpc.Notification, jsonrpc.Response:
		a.Unasked = true
	}
	body.finish()
	return nil, a
}

// A refusal's body is read so far and so long that an HTTP/1 connection can
// carry another request.
const (
	discardBytes = 64 << 10
	discardTime  = time.Second
)

// discard ends an answer, and with it the sending of the request.
func discard(res *http.Response) {
	if res.ProtoMajor == 1 {
		late := time.AfterFunc(discardTime, func() { res.Body.Close() })
		defer late.Stop()
		io.CopyN(io.Discard, res.Body, discardBytes)
	}
	res.Body.Close()
}

// watch returns r with its body watched, if that may be a message whose sender
// reads what would be said of it.
func (t explaining) watch(r *http.Request) (*http.Request, *glimpse) {
	if r.Method != http.MethodPost || r.Body == nil || r.Body == http.NoBody || r.ContentLength > mostGlimpse || !readsJSON(r.Header) {
		return r, nil
	}
	body := newGlimpse(r.Body, t.held)
	out := r.WithContext(r.Context())
	out.Body = body
	return out, body
}

// answer returns what the client is to be told in place of what came of r, nil
// if that is to be left as it is.
func (t explaining) answer(r *http.Request, res *http.Response, err error) *proxy.Answer {
	if err != nil {
		return noToken(err)
	}
	use := token.UseFrom(r.Context())
	if !t.refusals || res.StatusCode != http.StatusUnauthorized || use == nil || use.Token.IsZero() {
		return nil
	}
	return t.refused(r.URL.Host, use)
}

// noToken returns a copy of the answer that err is, if that is for want of a
// token and waiting would not help.
func noToken(err error) *proxy.Answer {
	a, ok := errors.AsType[*proxy.Answer](err)
	if !ok || a.Status == http.StatusServiceUnavailable || !wantsToken(a) {
		return nil
	}
	answer := *a
	return &answer
}

// refused says why a 401 came out of the proxy that is there to prevent it.
func (t explaining) refused(authority string, use *token.Use) *proxy.Answer {
	a := &proxy.Answer{
		Status: http.StatusBadGateway, Type: "token-rejected", Title: "The server refused the token", Received: http.StatusUnauthorized, Final: true,
		Detail: fmt.Sprintf("%s answered 401 to the token from %s", authority, use.Token.Source()),
		Hint: fmt.Sprintf("check that audience %s of rule %s is what the server expects (injectproxy explain shows its scope), and that the account may use it",
			t.audience, t.rule),
		Err: use.Why,
	}
	if use.Why != nil {
		a.Detail += "; " + strings.TrimSuffix(use.Why.Error(), ".")
	}
	a.Detail += "."
	switch use.Retry {
	case "body too large", "memory budget", "body broken":
		a.Hint, a.Final = "try again: the token has been replaced", false
	case "same token":
		a.Hint = fmt.Sprintf("have the %s of audience %s give another token, one that is meant for this server", use.Token.Source(), t.audience)
	}
	if e, ok := errors.AsType[*token.Error](use.Why); ok {
		a.Hint = cmp.Or(e.Hint, a.Hint)
		if e.Class == token.Transient {
			a.RetryAfter, a.Final = cmp.Or(e.RetryAfter, 5*time.Second), false
		}
	}
	return a
}
