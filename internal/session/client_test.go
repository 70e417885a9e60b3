package session_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/replay"
	"github.com/injectproxy/injectproxy/internal/session"
)

const initialize = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{"roots":{}},"clientInfo":{"name":"<test>", "version":1e0}}}`

// client is one route, and what a client does over it.
type client struct {
	t      *testing.T
	url    string
	chain  http.RoundTripper
	book   *session.Book
	memory *replay.Budget
	id     string // of its session

	mu     sync.Mutex
	events []session.Event
}

// newClient returns a client over a route to srv, changed by the options.
func newClient(t *testing.T, srv *server, options ...func(*session.Options)) *client {
	t.Helper()
	next := srv.Client().Transport.(*http.Transport).Clone()
	next.MaxIdleConnsPerHost, next.DisableCompression = 100, true
	t.Cleanup(next.CloseIdleConnections)
	c := &client{t: t, url: srv.URL + "/mcp", book: session.NewBook(), memory: replay.NewBudget(64 << 20)}
	t.Cleanup(c.book.Close)
	c.chain = c.route(next, options...)
	return c
}

func (c *client) route(next http.RoundTripper, options ...func(*session.Options)) http.RoundTripper {
	o := session.Options{Book: c.book, Light: time.Minute, Cooldown: time.Hour, BodyLimit: 1 << 20, Memory: c.memory, Note: c.note}
	for _, f := range options {
		f(&o)
	}
	return session.New(next, o)
}

func (c *client) note(_ context.Context, e session.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = append(c.events, e)
}

// told returns the events so far, with their details.
func (c *client) told() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []string
	for _, e := range c.events {
		all = append(all, strings.TrimSpace(e.Kind.String()+" "+e.Detail))
	}
	return all
}

func (c *client) toldOf(kind session.EventKind) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// request returns a request in the client's session.
func (c *client) request(method, body string, header ...string) *http.Request {
	c.t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.url, reader)
	if err != nil {
		c.t.Fatal(err)
	}
	req.GetBody = nil // a client's body comes off a connection
	req.Header.Set("Accept", "application/json, text/event-stream")
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.id != "" {
		req.Header.Set("Mcp-Session-Id", c.id)
		req.Header.Set("Mcp-Protocol-Version", "2025-06-18")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Del(header[i])
		if header[i+1] != "" {
			req.Header.Set(header[i], header[i+1])
		}
	}
	return req
}

// answer is what a client got.
type answer struct {
	status int
	id     string
	body   string
	err    error
}

func (c *client) send(req *http.Request) answer {
	res, err := c.chain.RoundTrip(req)
	if err != nil {
		return answer{err: err}
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header.Get("Mcp-Session-Id"), string(b), err}
}

func (c *client) post(body string, header ...string) answer {
	c.t.Helper()
	return c.send(c.request("POST", body, header...))
}

// begin begins a session.
func (c *client) begin() *client {
	c.t.Helper()
	c.id = ""
	a := c.post(initialize)
	if a.status != 200 || a.id == "" {
		c.t.Fatalf("initialize: %+v", a)
	}
	c.id = a.id
	want(c.t, "initialized", c.post(notification("notifications/initialized")).status, 202)
	return c
}

// call calls a tool, and fails the test unless that succeeds under the client's id.
func (c *client) call() string {
	c.t.Helper()
	a := c.post(message(7, "tools/call", `{"name":"echo"}`))
	if a.err != nil || a.status != 200 || a.id != c.id {
		c.t.Errorf("call: %+v, want 200 in %s", a, c.id)
	}
	return a.body
}

// restless has a session that was healed be healed again at once.
func restless(o *session.Options) { o.Cooldown = 0 }

// twin returns another client over the same route, in the same session.
func (c *client) twin() *client {
	return &client{t: c.t, url: c.url, chain: c.chain, book: c.book, memory: c.memory, id: c.id}
}
