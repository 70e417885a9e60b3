package gate

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/injectproxy/injectproxy/internal/binding"
)

// unfit is why an answer of the upstream must not go downstream, and what is said
// in its place.
type unfit struct{ answer }

// Error implements error.
func (u *unfit) Error() string { return u.title }

// bind notes a session that the upstream begins, or no longer has. It is an error
// if the session is another caller's, or nothing that a client could send: an
// answer that says so must not go downstream.
func (g *Gate) bind(x *exchange, res *http.Response) error {
	if err := g.given(x, res); err != nil {
		return err
	}
	if err := g.ended(x, res); err != nil {
		return err
	}
	g.watchEndpoint(x, res)
	return nil
}

// given binds the session that the answer names to the caller, before the client
// hears of it.
func (g *Gate) given(x *exchange, res *http.Response) error {
	if len(res.Header[headerSession]) == 0 {
		return nil
	}
	id, ok := headerID(res.Header)
	key := binding.KeyOf(byHeader, x.route.Path, id)
	switch {
	case ok && id == "" || ok && key == x.session.key:
		return nil
	case res.StatusCode/100 != 2:
		res.Header.Del(headerSession) // it begins nothing
		return nil
	case !ok:
		return &unfit{answer{
			status: http.StatusBadGateway, kind: "bad-session", title: "The MCP server gave the session an id that cannot be used",
		}}
	}
	mine, err := g.take(x, key)
	switch {
	case err != nil:
		if x.begins() {
			abandon(x, res, id)
		}
		return &unfit{sessionsUnknown}
	case !mine:
		return &unfit{answer{
			status: http.StatusBadGateway, kind: "shared-session", title: "The MCP server gave the session of another caller",
			hint: "Servers have to give each session an id of its own that cannot be guessed; who runs the server has to mend that",
		}}
	}
	return nil
}

// take binds a session of the upstream that answered to the caller. It is false
// if another has it.
func (g *Gate) take(x *exchange, key binding.Key) (bool, error) {
	caller := ownerOf(x.caller)
	t, err := g.sessions.Bind(x.r.Context(), key, binding.Binding{Owner: caller, Upstream: x.upstream.url.String()})
	if err != nil {
		g.o.Log.Debug("a session cannot be noted", "route", x.route.Path, "error", err)
	}
	return err == nil && t.Owner == caller, err
}

// ended forgets the session of the request if the answer says that it is over.
// Other answers of 404 than to a message may mean that there is no such method. A
// server that says so by another status is corrected: 404 is what has clients begin
// anew ("Session Management").
func (g *Gate) ended(x *exchange, res *http.Response) error {
	if x.session.upstream == nil {
		return nil
	}
	status := res.StatusCode
	switch x.r.Method {
	case http.MethodDelete:
		if status/100 == 2 || status == http.StatusNotFound {
			g.forget(x, x.session.key)
		}
	case http.MethodPost:
		switch status {
		case http.StatusNotFound:
			g.lost(x)
		case http.StatusBadRequest:
			if complains(res) {
				g.lost(x)
				return &unfit{noSession}
			}
		}
	}
	return nil
}

func (g *Gate) lost(x *exchange) {
	x.seen.Lost = true
	g.forget(x, x.session.key)
}

// forget removes sessions, also when the client has left.
func (g *Gate) forget(x *exchange, keys ...binding.Key) {
	if err := g.sessions.Forget(context.WithoutCancel(x.r.Context()), keys...); err != nil {
		g.o.Log.Debug("a session that is over cannot be forgotten", "route", x.route.Path, "error", err)
	}
}

// abandonWithin is how long an upstream has to hear that a session is not wanted.
const abandonWithin = 2 * time.Second

// begins reports whether a session that comes with the answer is begun by it: no
// other answer gives one, and what it names may be open for somebody else. Of a
// client that has left nothing is known but that.
func (x *exchange) begins() bool {
	return x.message.begins() && x.session.upstream == nil && x.r.Context().Err() == nil
}

// abandon ends the session that the upstream has begun by res, of which no client
// will hear: one that begins sessions in a loop while they cannot be noted would
// have the upstream keep them all. What comes of it does not matter.
func abandon(x *exchange, res *http.Response, id string) {
	ctx, cancel := context.WithTimeout(context.Background(), abandonWithin) // of its own: the request may be over
	defer cancel()
	req := res.Request.Clone(ctx)
	req.Method, req.Body, req.GetBody, req.ContentLength = http.MethodDelete, nil, nil, 0
	req.Header.Del("Content-Type")
	req.Header.Set(headerSession, id)
	if said, err := x.upstream.transport.RoundTrip(req); err == nil {
		said.Body.Close()
	}
}

// mostComplaint is how much of a 400 is looked at.
const mostComplaint = 4 << 10

// losses are what servers say beside a 400 when they mean that a session is
// lost, in lower case.
var losses = [][]byte{
	[]byte("no valid session id"),
	[]byte("server not initialized"),
	[]byte("unknown mcp-session-id"),
	[]byte("invalid session id"),
	[]byte("invalid or missing session id"),
}

// complains reports whether a 400 means that the session is lost. What was read for
// that is put back.
func complains(res *http.Response) bool {
	if isEventStream(res.Header) {
		return false
	}
	said, err := io.ReadAll(io.LimitReader(res.Body, mostComplaint))
	rest := io.Reader(res.Body)
	if err != nil {
		rest = failing{err}
	}
	res.Body = joined{io.MultiReader(bytes.NewReader(said), rest), res.Body}
	lower := bytes.ToLower(said)
	return slices.ContainsFunc(losses, func(l []byte) bool { return bytes.Contains(lower, l) })
}
