package stdio

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// aged is a server of MCP 2024-11-05: each GET is a session, which is gone with
// its stream. Every POST is noted as "SESSION METHOD".
type aged struct {
	path     string // of its stream
	endpoint string // what it names, before "?session=N"; "": /messages
	version  string
	retry    string                                             // a field of each stream, or none
	posted   func(w http.ResponseWriter, n int, m message) bool // may answer a POST itself
	opened   func(w http.ResponseWriter, r *http.Request) bool  // likewise for a GET
	reply    func(n int, m message) string                      // to a request; "": none. nil: did

	mu      sync.Mutex
	n       int // sessions so far
	streams map[int]*agedStream
	got     chan string
	gets    []http.Header
	posts   []*http.Request
	raw     []string
}

type agedStream struct {
	say chan string
	cut context.CancelFunc
	end chan struct{}
}

func newAged() *aged {
	return &aged{path: "/sse", endpoint: "/messages", version: "2024-11-05", retry: "retry: 60\n\n", streams: map[int]*agedStream{}, got: make(chan string, 10_000)}
}

func (a *aged) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodGet && r.URL.Path == a.path:
		a.get(w, r)
	case r.Method == http.MethodPost && r.URL.Path == "/messages":
		a.post(w, r)
	default:
		http.Error(w, "not here", http.StatusMethodNotAllowed)
	}
}

func (a *aged) get(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.gets = append(a.gets, r.Header)
	a.mu.Unlock()
	if a.opened != nil && a.opened(w, r) {
		return
	}
	ctx, cut := context.WithCancel(r.Context())
	defer cut()
	s := &agedStream{say: make(chan string, 100), cut: cut, end: make(chan struct{})}
	defer close(s.end)
	a.mu.Lock()
	a.n++
	n := a.n
	a.streams[n] = s
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.streams, n)
	}()
	a.got <- strconv.Itoa(n) + " GET"
	say(w, fmt.Sprintf(": hello\n\n%sevent: endpoint\ndata: %s?session=%d\n\n", a.retry, a.endpoint, n))
	for {
		select {
		case <-ctx.Done():
			return
		case text := <-s.say:
			say(w, text)
		}
	}
}

func (a *aged) post(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	m := messageOf(string(body))
	n, _ := strconv.Atoi(r.URL.Query().Get("session"))
	a.mu.Lock()
	a.posts, a.raw = append(a.posts, r), append(a.raw, string(body))
	s := a.streams[n]
	a.mu.Unlock()
	if m.Method != "ping" { // of begin
		a.got <- strconv.Itoa(n) + " " + nameOf(m)
	}
	switch {
	case a.posted != nil && a.posted(w, n, m):
		return
	case s == nil:
		http.Error(w, "Session not found", http.StatusNotFound)
		return
	}
	w.WriteHeader(http.StatusAccepted)
	io.WriteString(w, "Accepted")
	if m.Kind != jsonrpc.Request {
		return
	}
	answer := a.answer(n, m)
	if answer != "" {
		s.say <- "event: message\ndata: " + answer + "\n\n"
	}
}

func nameOf(m message) string {
	if m.Kind == jsonrpc.Response {
		return "response " + string(m.ID)
	}
	return m.Method
}

func (a *aged) answer(n int, m message) string {
	if a.reply != nil {
		if said := a.reply(n, m); said != "did" {
			return said
		}
	}
	if m.Method == "initialize" {
		a.mu.Lock()
		defer a.mu.Unlock()
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":%q,"capabilities":{"tools":{"listChanged":true},"resources":{"listChanged":false,"subscribe":true},"prompts":{"listChanged":true}}}}`, m.ID, a.version)
	}
	return did(string(m.ID), m.Method)
}

// stream returns the stream of a session that stands.
func (a *aged) stream(n int) *agedStream {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.streams[n]
}

// say says text on the stream of a session.
func (a *aged) say(n int, text string) { a.stream(n).say <- text }

// cut ends a session, and waits until the server does not know it any more.
func (a *aged) cut(n int) {
	s := a.stream(n)
	s.cut()
	<-s.end
}

// saw wants what came next to be this.
func (a *aged) saw(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		if got := <-a.got; got != w {
			t.Errorf("the server saw %q, want %q", got, w)
		}
	}
}

// asked returns how many GET there were.
func (a *aged) asked() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.gets)
}

// bridge runs a bridge to h over TLS.
func bridge(t *testing.T, h http.Handler, path string, transport Transport) (*client, *asked) {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0) // connections that turned out not to be needed
	srv.StartTLS()
	t.Cleanup(srv.Close)
	tr := srv.Client().Transport.(*http.Transport)
	t.Cleanup(tr.CloseIdleConnections)
	return bridgeTo(t, srv.URL+path, tr, transport)
}

func bridgeTo(t *testing.T, url string, tr *http.Transport, transport Transport) (*client, *asked) {
	t.Helper()
	route := &asked{RoundTripper: tr}
	o := Options{URL: parsed(t, url), Route: route, Header: http.Header{"X-Ours": {"mine"}}, Transport: transport, Log: testLog(t)}
	return run(t, newBridge(o, func(b *Bridge) upstream { return choose(b.o, b.deliver) })), route
}

// bubbled runs a bridge to h in a bubble of synctest.
func bubbled(t *testing.T, h http.Handler, path string, transport Transport) *client {
	t.Helper()
	return bubbledBy(t, h, path, transport, func(tr http.RoundTripper) http.RoundTripper { return tr })
}

// bubbledBy is bubbled with a Route of its own around that to the server.
func bubbledBy(t *testing.T, h http.Handler, path string, transport Transport, around func(http.RoundTripper) http.RoundTripper) *client {
	t.Helper()
	pipes := make(pipeListener)
	srv := &http.Server{Handler: h}
	go srv.Serve(pipes)
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		select {
		case pipes <- theirs:
			return ours, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}
	t.Cleanup(func() { tr.CloseIdleConnections(); srv.Close() })
	o := Options{URL: parsed(t, "http://server"+path), Route: around(tr), Transport: transport, Log: testLog(t)}
	return run(t, newBridge(o, func(b *Bridge) upstream { return choose(b.o, b.deliver) }))
}

// beginOld begins a session.
const beginOld = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2024-11-05","clientInfo":{"name":"x"}}}`

func (c *client) begin(a *aged) {
	c.t.Helper()
	c.say(beginOld)
	c.hears(a.answer(0, messageOf(beginOld)))
	c.say(saidBegun, ask(`"begun"`, "ping")) // which is sent when the server has taken the first
	c.hears(did(`"begun"`, "ping"))
}
