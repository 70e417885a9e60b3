package session

import (
	"io"
	"mime"
	"net/http"
	"slices"
	"sync"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

const (
	mostParams = 64 << 10            // of a client's initialize
	mostBegin  = mostParams + 16<<10 // of the whole message
	mostResult = 256 << 10           // of the answer to it
)

// mayBegin reports whether a request may be an initialize, by its header.
func mayBegin(req *http.Request) bool {
	h := req.Header
	return req.Method == http.MethodPost && req.Body != nil && req.Body != http.NoBody && req.ContentLength <= mostBegin &&
		!sessionless(h) && (h.Get(headerMethod) == "" || h.Get(headerMethod) == "initialize") &&
		h.Get("Content-Encoding") == "" && mediaType(h) == "application/json"
}

func mediaType(h http.Header) string {
	t, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	return t
}

// begin passes a request outside of any session, and remembers the session
// that the answer begins, if it does. Neither is held back.
func (t *transport) begin(req *http.Request) (*http.Response, error) {
	said := &copied{src: req.Body, declared: req.ContentLength}
	out := req.WithContext(req.Context())
	out.Body = said
	res, err := t.next.RoundTrip(out)
	if res != nil {
		res.Request = req
	}
	if err != nil || res.StatusCode != http.StatusOK {
		said.whole()
		return res, err
	}
	id, ok := sessionID(res.Header)
	message := said.whole()
	if !ok || message == nil {
		return res, nil
	}
	m, err := jsonrpc.Parse(message)
	if err != nil || m.Kind != jsonrpc.Request || m.Method != "initialize" || m.Params == nil || len(m.Params) > mostParams {
		return res, nil
	}
	s := newSession(key{t.o.Owner(req.Context()), target(req), id}, slices.Clone(m.Params))
	t.await(res, idText(m.ID), func(result jsonrpc.Message) {
		if n, ok := negotiated(result); ok {
			s.version, s.lists = n.version, n.lists
			t.remember(req, s)
		}
	}, func() { t.remember(req, s) })
	return res, nil
}

func (t *transport) remember(req *http.Request, s *session) {
	t.o.Book.add(s)
	t.note(req.Context(), s, Event{Kind: Accepted})
}

// await has told called with the response to the request when the client
// reads it in res, before the client has it; or unread: at once if the answer is
// encoded, or when it turns out to be too long.
func (t *transport) await(res *http.Response, id string, told func(jsonrpc.Message), unread func()) {
	if res.Header.Get("Content-Encoding") != "" {
		unread()
		return
	}
	r := &reading{id: id, stream: mediaType(res.Header) == "text/event-stream", limit: mostResult}
	if !r.stream && res.ContentLength > 0 {
		r.length = res.ContentLength
	}
	src := res.Body
	res.Body = &body{Reader: readerFunc(func(p []byte) (int, error) {
		n, err := src.Read(p)
		over := r.over
		if m, ok := r.write(p[:n], err == io.EOF); ok {
			told(m)
		} else if r.long && !over {
			unread()
		}
		return n, err
	}), src: src}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// copied is a request's body of which a copy is kept while it is read, as long
// as it is no longer than an initialize may be.
type copied struct {
	src      io.ReadCloser
	declared int64

	mu   sync.Mutex
	kept []byte
	lost bool // it is too long, or wanted no more
	over bool // the end was read
}

// Read implements [io.Reader].
func (c *copied) Read(p []byte) (int, error) {
	n, err := c.src.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.kept)+n > mostBegin {
		c.kept, c.lost = nil, true
	}
	if !c.lost {
		c.kept = append(c.kept, p[:n]...)
	}
	c.over = c.over || err == io.EOF
	return n, err
}

// Close implements [io.Closer].
func (c *copied) Close() error { return c.src.Close() }

// whole returns the body if all of it was read, and keeps no more of it.
func (c *copied) whole() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := c.kept
	if c.lost || !c.over && (c.declared <= 0 || int64(len(kept)) != c.declared) {
		kept = nil
	}
	c.kept, c.lost = nil, true
	return kept
}
