package session

import (
	"context"
	"net/http"

	"github.com/injectproxy/injectproxy/internal/replay"
)

type transport struct {
	next http.RoundTripper
	o    Options
}

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	id, ok := sessionID(req.Header)
	switch {
	case t.o.Mode == Normalise && ok && !sessionless(req.Header):
		return t.normalise(req)
	case t.o.Mode == Normalise:
		return t.next.RoundTrip(req)
	case !ok && len(req.Header[headerSession]) == 0 && mayBegin(req):
		return t.begin(req)
	case !ok:
		return t.next.RoundTrip(req)
	}
	s := t.o.Book.find(key{t.o.Owner(req.Context()), target(req), id})
	if s == nil {
		return t.next.RoundTrip(req)
	}
	x := &exchange{t: t, s: s, req: req}
	switch req.Method {
	case http.MethodPost:
		return x.post()
	case http.MethodGet:
		return x.get()
	case http.MethodDelete:
		return x.end()
	}
	return x.pass(x.send(s.now()))
}

// target is the endpoint that a request is for.
func target(req *http.Request) string { return req.URL.Host + req.URL.EscapedPath() }

func (t *transport) note(ctx context.Context, s *session, e Event) {
	e.Session, e.Target = s.digest, s.key.target
	t.o.Note(ctx, e)
}

// exchange is a client's request in a session that is known.
type exchange struct {
	t    *transport
	s    *session
	req  *http.Request
	body *replay.Body // nil if it is sent once
	at   view         // the session, as the request was sent in it last
}

// send sends the request in the session at.
func (x *exchange) send(at view) (*http.Response, error) {
	x.at = at
	out := x.req
	if x.body != nil {
		var err error
		if out, err = x.body.Attempt(); err != nil {
			return nil, err
		}
	}
	out = out.WithContext(out.Context())
	out.Header = named(x.req.Header, at.id)
	res, err := x.t.next.RoundTrip(out)
	if res != nil {
		res.Request = x.req
	}
	return res, err
}

// pass gives the client an answer, under the id that the client knows.
func (x *exchange) pass(res *http.Response, err error) (*http.Response, error) {
	if err != nil && x.t.o.Late != nil && x.t.o.Late(err) || err == nil && res.StatusCode == http.StatusGatewayTimeout {
		x.note(Event{Kind: TimedOut})
	}
	if err != nil {
		return nil, err
	}
	if res.StatusCode < 300 {
		id, _ := sessionID(res.Header)
		x.s.answered(x.at, x.req.Header, id)
	}
	if len(res.Header[headerSession]) > 0 {
		res.Header[headerSession] = []string{x.s.key.id}
	}
	return res, nil
}

func (x *exchange) note(e Event) { x.t.note(x.req.Context(), x.s, e) }
