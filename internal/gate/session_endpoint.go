package gate

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"

	"github.com/injectproxy/injectproxy/internal/binding"
	"github.com/injectproxy/injectproxy/internal/eventstream"
)

// mostEndpoint is how many bytes of the first event of a stream are looked at.
const mostEndpoint = 16 << 10

// Why a stream is cut: its server gave it the session of another caller, or one by
// a URL that gates which share their sessions do not know for one.
var (
	errShared = errors.New("the upstream gave the session of another caller")
	errNoID   = errors.New("the upstream has messages sent to a URL without an id that is known as one")
)

// watchEndpoint has the session that a stream begins belong to the caller. In the
// HTTP+SSE transport of MCP 2024-11-05 that is what its first event, "endpoint",
// says: the URL that takes messages for this stream. The session lasts as long as
// the stream.
func (g *Gate) watchEndpoint(x *exchange, res *http.Response) {
	if x.r.Method != http.MethodGet || res.StatusCode/100 != 2 || !isEventStream(res.Header) || x.r.Header.Get(headerSession) != "" {
		return
	}
	w := &endpoint{src: res.Body, events: eventstream.Splitter{Limit: mostEndpoint}}
	w.begin = func(at string) (func(), error) { return g.beginAt(x, at, w.cut) }
	res.Body = w
}

// beginAt begins the session whose messages go to the URL at, and returns what
// ends it. Cut is called if it becomes another's before.
func (g *Gate) beginAt(x *exchange, at string, cut func(error)) (end func(), err error) {
	key, ids, ok := endpointAt(x.r, at)
	if !ok {
		return func() {}, nil
	}
	if g.sessions.Shared() && !hasID(x.r, at) {
		g.o.Log.Error("the upstream has messages sent to a URL without a sessionId: gates that share their sessions cannot tell whose they are",
			"route", x.route.Path, "upstream", x.upstream.url.Host)
		return nil, errNoID
	}
	mine, err := g.take(x, key)
	switch {
	case err != nil:
		return nil, err
	case !mine:
		g.o.Log.Error("the upstream gives two callers the same session", "route", x.route.Path, "upstream", x.upstream.url.Host)
		return nil, errShared
	}
	if g.sessions.Shared() {
		t := g.holding(x, key, cut)
		return func() {
			if t.stop() {
				g.forget(x, key)
			}
		}, nil
	}
	taken, err := g.takeParts(x, ids)
	end = func() {
		g.forget(x, key)
		g.leaveParts(x, taken)
	}
	if err != nil {
		end()
		return nil, err
	}
	return end, nil
}

// hasID reports whether the URL at, as the answer to r says it, has an id that every
// gate knows as one.
func hasID(r *http.Request, at string) bool {
	u, err := r.URL.Parse(at)
	if err != nil {
		return false
	}
	id, ok := queryID(u.RawQuery)
	return ok && id != ""
}

// takeParts binds what may be the ids in a URL to the caller, and returns what it
// has bound, also if there is an error. What the sessions of others have, too, is
// none.
func (g *Gate) takeParts(x *exchange, ids []string) (taken []binding.Key, err error) {
	keys := make([]binding.Key, len(ids))
	for i, id := range ids {
		keys[i] = partKey(id)
	}
	known, err := g.sessions.Find(x.r.Context(), keys...)
	if err != nil {
		return nil, err
	}
	for i, k := range keys {
		mine := false
		if mine, err = g.takePart(x, k, known[i]); err != nil {
			return taken, err
		}
		if mine {
			taken = append(taken, k)
		}
	}
	return taken, nil
}

// takePart binds what may be an id to the caller, unless another has it, as b says or
// since then: it becomes everybody's.
func (g *Gate) takePart(x *exchange, key binding.Key, b binding.Binding) (mine bool, err error) {
	if !b.Known() || b.Owner == ownerOf(x.caller) {
		if mine, err = g.take(x, key); mine || err != nil {
			return mine, err
		}
	}
	for range 3 { // others may begin, too
		if b.Owner == everybody || err != nil {
			break
		}
		g.forget(x, key)
		b, err = g.sessions.Bind(x.r.Context(), key, binding.Binding{Owner: everybody, Upstream: x.upstream.url.String()})
	}
	return false, err
}

// leaveParts forgets those of the keys that are still the caller's: what others have,
// too, stays no id while they do.
func (g *Gate) leaveParts(x *exchange, keys []binding.Key) {
	known, err := g.sessions.Find(context.WithoutCancel(x.r.Context()), keys...)
	if err != nil {
		return
	}
	for i, k := range keys {
		if known[i].Owner == ownerOf(x.caller) {
			g.forget(x, k)
		}
	}
}

// endpointAt returns the key of the session whose messages go to the URL at, as
// the answer to r says, and what else in it may be an id, beside what r had itself.
// It is false if that names no session.
func endpointAt(r *http.Request, at string) (key binding.Key, ids []string, ok bool) {
	u, err := r.URL.Parse(at)
	if err != nil {
		return binding.Key{}, nil, false
	}
	asked := idsIn(r.URL)
	id, ok := queryID(u.RawQuery)
	ids = slices.DeleteFunc(idsIn(u), func(p string) bool { return p == id || slices.Contains(asked, p) })
	if ok && id != "" {
		return binding.KeyOf(byQuery, "", id), ids, true
	}
	return endpointKey(u), ids, u.RawQuery != "" || u.Path != r.URL.Path
}

// endpoint is the body of a stream whose first event may begin a session. What
// completes that event is read only after it has begun. It may be closed while it
// is read.
type endpoint struct {
	src    io.ReadCloser
	events eventstream.Splitter
	begin  func(at string) (end func(), err error)
	over   bool // the first event has come
	err    error

	mu     sync.Mutex
	end    func() // nil: nothing has begun, or it has ended
	why    error  // it was cut
	closed bool
}

// Read implements [io.Reader].
func (w *endpoint) Read(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.src.Read(p)
	if why := w.wasCut(); why != nil {
		w.err = why
		return 0, why
	}
	if !w.over {
		w.events.Write(p[:n], w.first)
		if w.over {
			w.events = eventstream.Splitter{}
		}
	}
	if w.err != nil {
		return 0, w.err
	}
	return n, err
}

func (w *endpoint) first(_ []byte, e eventstream.Event) {
	if w.over || e.Data == nil && !e.Part {
		return
	}
	w.over = true
	w.mu.Lock()
	defer w.mu.Unlock()
	if string(e.Name) == "endpoint" && !w.closed {
		w.end, w.err = w.begin(string(e.Data))
	}
}

// cut ends the stream for err, also one that is being read. Nothing of what is left
// in it is read.
func (w *endpoint) cut(err error) {
	w.mu.Lock()
	w.why = err
	w.mu.Unlock()
	w.src.Close()
}

func (w *endpoint) wasCut() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.why
}

// Close implements [io.Closer]. It ends the session.
func (w *endpoint) Close() error {
	w.mu.Lock()
	end := w.end
	w.end, w.closed = nil, true
	w.mu.Unlock()
	if end != nil {
		end() // without the lock, which cut may want
	}
	return w.src.Close()
}
