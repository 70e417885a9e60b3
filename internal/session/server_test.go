package session_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// server is an MCP server that does what its fields say. They are set before it
// is asked, or under its lock.
type server struct {
	*httptest.Server

	mu        sync.Mutex
	version   string
	stream    bool // answer with events
	noID      bool // begin no sessions
	gone      func(w http.ResponseWriter, id json.RawMessage)
	before    func(w http.ResponseWriter, r *http.Request, body []byte) (done bool)
	get       http.HandlerFunc
	live      map[string]bool
	sessions  int
	seen      []delivery
	delivered func(delivery)
}

// delivery is a request that arrived.
type delivery struct {
	method  string // of HTTP
	session string
	rpc     string // method of the message, or its kind
	body    string
	header  http.Header
}

func newServer(t *testing.T, proto string) *server {
	t.Helper()
	s := &server{version: "2025-06-18", live: map[string]bool{}, gone: notFound(-32001, "Session not found")}
	s.Server = httptest.NewUnstartedServer(s)
	s.EnableHTTP2 = proto == "HTTP/2.0"
	s.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 2000}
	s.Config.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(t.Output(), nil), slog.LevelError)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// notFound is the answer of a server that does not know a session.
func notFound(code int, text string) func(http.ResponseWriter, json.RawMessage) {
	return says(404, "application/json", fmt.Sprintf(`{"jsonrpc":"2.0","error":{"code":%d,"message":%q},"id":null}`, code, text))
}

func says(status int, contentType, text string) func(http.ResponseWriter, json.RawMessage) {
	return func(w http.ResponseWriter, _ json.RawMessage) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		io.WriteString(w, text)
	}
}

// lose forgets all sessions, as a restart does.
func (s *server) lose() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.live)
}

func (s *server) set(f func(*server)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

// count returns how many messages of a method arrived.
func (s *server) count(rpc string) (n int) {
	for _, d := range s.all() {
		if d.rpc == rpc {
			n++
		}
	}
	return n
}

func (s *server) all() []delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// methods returns what arrived since the first n requests.
func (s *server) methods(n int) []string {
	var all []string
	for _, d := range s.all()[n:] {
		all = append(all, d.rpc)
	}
	return all
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, "body", 400)
		return
	}
	m, _ := jsonrpc.Parse(b)
	d := delivery{method: r.Method, session: r.Header.Get("Mcp-Session-Id"), rpc: m.Method, body: string(b), header: r.Header.Clone()}
	switch {
	case r.Method != "POST":
		d.rpc = r.Method
	case m.Kind == jsonrpc.Response:
		d.rpc = "response"
	case m.Kind == jsonrpc.Batch:
		d.rpc = "batch"
	}
	s.mu.Lock()
	s.seen = append(s.seen, d)
	delivered, before, get, gone := s.delivered, s.before, s.get, s.gone
	known := s.live[d.session] || s.noID && d.session == ""
	s.mu.Unlock()
	if delivered != nil {
		delivered(d)
	}
	switch {
	case before != nil && before(w, r, b):
	case r.Method == "POST" && m.Method == "initialize":
		s.initialize(w, m)
	case !known:
		gone(w, m.ID)
	case r.Method == "GET" && get != nil:
		get(w, r)
	case r.Method == "GET":
		http.Error(w, "no stream", http.StatusMethodNotAllowed)
	case r.Method == "DELETE":
		s.set(func(s *server) { delete(s.live, d.session) })
	case m.Kind != jsonrpc.Request && m.Kind != jsonrpc.Batch:
		w.WriteHeader(http.StatusAccepted)
	default:
		w.Header().Set("Mcp-Session-Id", d.session)
		s.reply(w, m.ID, fmt.Sprintf(`{"session":%q,"method":%q}`, d.session, m.Method))
	}
}

func (s *server) initialize(w http.ResponseWriter, m jsonrpc.Message) {
	s.mu.Lock()
	s.sessions++
	id := fmt.Sprint("session-", s.sessions)
	if !s.noID {
		s.live[id] = true
		w.Header().Set("Mcp-Session-Id", id)
	}
	version := s.version
	s.mu.Unlock()
	s.reply(w, m.ID, `{"protocolVersion":"`+version+`","capabilities":{"tools":{"listChanged":true},"prompts":{"listChanged":false},"logging":{}},"serverInfo":{"name":"x","version":"1"}}`)
}

func (s *server) reply(w http.ResponseWriter, id json.RawMessage, result string) {
	body := `{"jsonrpc":"2.0","id":` + string(id) + `,"result":` + result + `}`
	s.mu.Lock()
	stream := s.stream
	s.mu.Unlock()
	if !stream {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		io.WriteString(w, body)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(200)
	for _, part := range []string{": hello\n\n", "event: message\nid: 1\nda", "ta: " + body + "\n", "\n"} {
		io.WriteString(w, part)
		http.NewResponseController(w).Flush()
	}
}

// both runs f against a server of either protocol.
func both(t *testing.T, f func(t *testing.T, proto string)) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) { t.Parallel(); f(t, proto) })
	}
}

func message(id int, method, params string) string {
	if params == "" {
		params = "{}"
	}
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":%q,"params":%s}`, id, method, params)
}

func notification(method string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","method":%q}`, method)
}

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

func wantIn(t *testing.T, what, got, want string) {
	t.Helper()
	if !strings.Contains(got, want) {
		t.Errorf("%s: got %q, want %q in it", what, got, want)
	}
}
