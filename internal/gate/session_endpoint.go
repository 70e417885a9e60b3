package gate

import (
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

// errShared cuts a stream whose server gave it the session of another caller.
var errShared = errors.New("the upstream gave the session of another caller")

// watchEndpoint has the session that a stream begins belong to the caller. In the
// HTTP+SSE transport of MCP 2024-11-05 that is what its first event, "endpoint",
// says: the URL that takes messages for this stream. The session lasts as long as
// the stream.
func (g *Gate) watchEndpoint(x *exchange, res *http.Response) {
	if x.r.Method != http.MethodGet || res.StatusCode/100 != 2 || !isEventStream(res.Header) || x.r.Header.Get(headerSession) != "" {
		return
	}
	res.Body = &endpoint{
		src: res.Body, events: eventstream.Splitter{Limit: mostEndpoint},
		begin: func(at string) (func(), error) { return g.beginAt(x, at) },
	}
}

// beginAt begins the session whose messages go to the URL at, and returns what
// ends it.
func (g *Gate) beginAt(x *exchange, at string) (end func(), err error) {
	key, ids, ok := endpointAt(x.r, at)
	if !ok {
		return func() {}, nil
	}
	mine, err := g.take(x, key)
	switch {
	case err != nil:
		return nil, err
	case !mine:
		g.o.Log.Error("the upstream gives two callers the same session", "route", x.route.Path, "upstream", x.upstream.url.Host)
		return nil, errShared
	}
	keys := []binding.Key{key}
	for _, id := range ids {
		if mine, err = g.takePart(x, partKey(id)); err != nil {
			return nil, err
		}
		if mine {
			keys = append(keys, partKey(id))
		}
	}
	return func() {
		for _, k := range keys {
			g.forget(x, k)
		}
	}, nil
}

// takePart binds what may be the id in a URL to the caller. It is false if the
// sessions of others have it, too: then it is none.
func (g *Gate) takePart(x *exchange, key binding.Key) (mine bool, err error) {
	t, found, err := g.sessions.Find(x.r.Context(), key)
	switch {
	case err != nil:
		return false, err
	case !found || t.Owner == ownerOf(x.caller):
		return g.take(x, key)
	case t.Owner != everybody:
		g.forget(x, key)
		_, err = g.sessions.Bind(x.r.Context(), key, binding.Binding{Owner: everybody, Upstream: t.Upstream})
	}
	return false, err
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
	end    func() // nil: nothing has begun
	closed bool
}

// Read implements [io.Reader].
func (w *endpoint) Read(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.src.Read(p)
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

// Close implements [io.Closer]. It ends the session.
func (w *endpoint) Close() error {
	w.mu.Lock()
	if w.end != nil && !w.closed {
		w.end()
	}
	w.closed = true
	w.mu.Unlock()
	return w.src.Close()
}
