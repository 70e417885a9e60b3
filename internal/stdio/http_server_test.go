package stdio

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// heard stands for the bridge: it takes what is delivered, and knows which call
// a response belongs to.
type heard struct {
	mu    sync.Mutex
	all   []string
	on    []bool // whether it came on a call's own stream
	calls map[string]*call
	more  chan string // each message, if anybody wants to wait for it
	block func(raw []byte)
}

func newHeard() *heard { return &heard{calls: map[string]*call{}, more: make(chan string, 10_000)} }

func (h *heard) deliver(raw []byte, on *call) error {
	m, err := jsonrpc.Parse(raw)
	if err != nil {
		return err
	}
	if h.block != nil {
		h.block(raw)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if m.Kind == jsonrpc.Response {
		c := h.calls[string(m.ID)]
		if c == nil {
			return nil
		}
		delete(h.calls, string(m.ID))
		defer close(c.answered)
	}
	h.all, h.on = append(h.all, string(raw)), append(h.on, on != nil)
	h.more <- string(raw)
	return nil
}

// call returns a call that waits for its response.
func (h *heard) call(ctx context.Context, raw string) *call {
	c := newCall(ctx, messageOf(raw))
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls[string(c.ID)] = c
	return c
}

func (h *heard) said() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.all)
}

func messageOf(raw string) message {
	m, err := jsonrpc.Parse([]byte(raw))
	if err != nil {
		panic(err)
	}
	return message{m, []byte(raw)}
}

func request(id int, method string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":%q}`, id, method)
}

func result(id int) string { return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":{}}`, id) }

// initialized is the response to an initialize.
func initialized(id int, version string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":{"protocolVersion":%q,"capabilities":{}}}`, id, version)
}

// far is a server that is asked over real connections, and its client.
type far struct {
	*heard
	s     *streamable
	srv   *httptest.Server
	route *asked
}

// asked is a Route that remembers for what it was asked.
type asked struct {
	http.RoundTripper
	mu   sync.Mutex
	all  []*http.Request
	idle atomic.Int32 // how often its idle connections were closed
}

func (a *asked) RoundTrip(req *http.Request) (*http.Response, error) {
	a.mu.Lock()
	a.all = append(a.all, req)
	a.mu.Unlock()
	return a.RoundTripper.RoundTrip(req)
}

func (a *asked) CloseIdleConnections() {
	a.idle.Add(1)
	a.RoundTripper.(*http.Transport).CloseIdleConnections()
}

func (a *asked) urls() (all []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, req := range a.all {
		all = append(all, req.Method+" "+req.URL.String())
	}
	return all
}

func newFar(t testing.TB, proto string, h http.HandlerFunc) *far {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.EnableHTTP2 = proto == "HTTP/2.0"
	srv.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 2000}
	srv.Config.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(t.Output(), nil), slog.LevelError)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	tr := srv.Client().Transport.(*http.Transport)
	tr.DisableCompression = true
	tr.MaxIdleConnsPerHost = 100
	t.Cleanup(tr.CloseIdleConnections)
	f := &far{heard: newHeard(), srv: srv, route: &asked{RoundTripper: tr}}
	f.s = newHTTP(Options{URL: parsed(t, srv.URL+"/mcp"), Route: f.route, Header: http.Header{"X-Ours": {"mine"}}, Log: testLog(t)}, f.deliver)
	return f
}

func parsed(t testing.TB, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func testLog(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// ask asks, and returns what the client would be told if there is no response.
func (f *far) ask(t testing.TB, raw string) error {
	t.Helper()
	return f.s.ask(t.Context(), f.call(t.Context(), raw))
}

// both runs f with each protocol.
func both(t *testing.T, f func(t *testing.T, proto string)) {
	t.Parallel()
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) { t.Parallel(); f(t, proto) })
	}
}

// answers is a server that says the same to everything.
func answers(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if contentType != "" {
			w.Header().Set("Content-Type", contentType)
		} else {
			w.Header()["Content-Type"] = nil
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// say sends text of a stream at once.
func say(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", typeStream)
	io.WriteString(w, text)
	http.NewResponseController(w).Flush()
}

// near is a server within a bubble: it is asked over pipes, and time is the bubble's.
func near(t *testing.T, h http.HandlerFunc) *far {
	t.Helper()
	pipes := make(pipeListener)
	var handling sync.WaitGroup
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handling.Add(1)
		defer handling.Done()
		h(w, r)
	}), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	go srv.Serve(pipes)
	tr := &http.Transport{DisableCompression: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		select {
		case pipes <- theirs:
			return ours, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}
	f := &far{heard: newHeard(), route: &asked{RoundTripper: tr}}
	f.s = newHTTP(Options{URL: parsed(t, "http://server/mcp"), Route: f.route}, f.deliver)
	t.Cleanup(func() { tr.CloseIdleConnections(); srv.Close(); handling.Wait() })
	return f
}

type pipeListener chan net.Conn

func (l pipeListener) Accept() (net.Conn, error) {
	if c, ok := <-l; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (l pipeListener) Close() error   { close(l); return nil }
func (l pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func want[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func wantList(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func wantLine(t *testing.T, what string, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("%s: %v", what, err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("%s: got %v, want %q in it", what, err, want)
	}
}
