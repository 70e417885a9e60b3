package e2e_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// form is how a server says that it does not know a session.
type form struct {
	name        string
	status      int
	contentType string
	body        string
}

func rpcForm(name string, status, code int, message string) form {
	return form{name, status, "application/json", fmt.Sprintf(`{"jsonrpc":"2.0","error":{"code":%d,"message":%q},"id":null}`, code, message)}
}

var lossForms = []form{
	rpcForm("404 with -32001", 404, -32001, "Session not found"),
	rpcForm("404 with -32600", 404, -32600, "Invalid Request"),
	rpcForm("404 with -32601", 404, -32601, "Method not found"),
	{"404 as text", 404, "text/plain; charset=utf-8", "session not found\n"},
	{"404 as HTML", 404, "text/html", "<html><body><h1>404 Not Found</h1></body></html>\n"},
	{"404 with nothing", 404, "", ""},
	rpcForm("400 of the reference server", 400, -32000, "Bad Request: No valid session ID provided"),
	rpcForm("400 not initialized", 400, -32000, "Bad Request: Server not initialized"),
	rpcForm("400 unknown", 400, -32600, "Unknown Mcp-Session-Id"),
	rpcForm("400 invalid", 400, -32602, "Invalid session ID"),
	{"400 as text", 400, "text/plain", "invalid session id"},
}

// forgetful is a server of the Go SDK that forgets its sessions when it is
// told to, and then says so in the given form.
type forgetful struct {
	t       *testing.T
	form    form
	options *mcp.StreamableHTTPOptions

	mu     sync.Mutex
	server http.Handler
	known  map[string]bool // sessions
	began  int             // sessions, since
	called int             // calls that it carried out, since
}

func newForgetful(t *testing.T, f form, o *mcp.StreamableHTTPOptions) *forgetful {
	s := &forgetful{t: t, form: f, options: o}
	s.forget()
	return s
}

// forget has s know no session any more. The streams of those that it knew
// stay open, as behind a balancer that leads new requests elsewhere.
func (s *forgetful) forget() {
	server := mcp.NewServer(&mcp.Implementation{Name: "forgetful", Version: "1"}, &mcp.ServerOptions{GetSessionID: s.begin})
	s.t.Cleanup(func() { closeSessions(server) })
	mcp.AddTool(server, &mcp.Tool{Name: "count"}, func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.called++
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "counted"}}}, nil, nil
	})
	h := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, s.options)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.server, s.known, s.began, s.called = h, map[string]bool{}, 0, 0
}

// begin returns the id of a session that begins.
func (s *forgetful) begin() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := rand.Text()
	s.known[id] = true
	s.began++
	return id
}

func (s *forgetful) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("Mcp-Session-Id")
	s.mu.Lock()
	server, unknown := s.server, id != "" && !s.known[id]
	s.mu.Unlock()
	if unknown {
		io.Copy(io.Discard, r.Body)
		if s.form.contentType != "" {
			w.Header().Set("Content-Type", s.form.contentType)
		}
		w.WriteHeader(s.form.status)
		io.WriteString(w, s.form.body)
		return
	}
	server.ServeHTTP(w, r)
}

// counts returns how many sessions began and how many calls were carried out
// since it last forgot everything.
func (s *forgetful) counts() (began, called int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.began, s.called
}

// TestEachFormOfALostSessionIsHealed: whichever way the server says it, the Go
// SDK's client notices nothing, over HTTP/1.1 and HTTP/2. A 400 that says
// something else is the client's to see.
func TestEachFormOfALostSessionIsHealed(t *testing.T) {
	t.Parallel()
	other := rpcForm("400 for another reason", 400, -32600, "Bad Request: the session is fine, the rest is not")
	w, g := newWorld(t), newGateway(t)
	mux := http.NewServeMux()
	servers := map[string]*forgetful{}
	for i, f := range append(lossForms, other) {
		for _, protocol := range []string{"h1", "h2"} {
			path := fmt.Sprintf("/%s/%d", protocol, i)
			servers[path] = newForgetful(t, f, &mcp.StreamableHTTPOptions{DisableLocalhostProtection: true})
			mux.Handle(path, servers[path])
		}
	}
	u := w.upstream("mcp.corp.test", g.token, http2too, mux)
	p := w.serve(options{rules: g.rules(`kind = "mcp"`, u.url+"/"), hidden: []string{g.token}})
	for path, s := range servers {
		t.Run(s.form.name+path, func(t *testing.T) {
			c := dial(t, p.client(t, path[1:3]), u.url+path)
			for _, err := range callAtOnce(t, c, 1) {
				if err != nil {
					t.Fatal(err)
				}
			}
			s.forget()
			for _, err := range callAtOnce(t, c, 3) {
				if (err != nil) != (s.form.name == other.name) {
					t.Errorf("a call: %v", err)
				}
			}
			began, called := s.counts()
			want := [2]int{1, 3}
			if s.form.name == other.name {
				want = [2]int{}
			}
			if got := [2]int{began, called}; got != want {
				t.Errorf("%d sessions began and %d calls were carried out, want %d", began, called, want)
			}
		})
	}
	u.wantGuarded(t)
}

// dial begins a session of the Go SDK in this process. It ends with the test.
func dial(t *testing.T, c *http.Client, url string) *mcp.ClientSession {
	t.Helper()
	s, err := mcp.NewClient(&mcp.Implementation{Name: "e2e", Version: "1"}, nil).
		Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: url, HTTPClient: c}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// callAtOnce calls the tool n times and returns what came of each call.
func callAtOnce(t *testing.T, c *mcp.ClientSession, n int) []error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), guardTime)
	defer cancel()
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			r, err := c.CallTool(ctx, &mcp.CallToolParams{Name: "count", Arguments: map[string]any{}})
			if err == nil && r.Content[0].(*mcp.TextContent).Text != "counted" {
				err = fmt.Errorf("answered %v", r.Content)
			}
			errs[i] = err
		})
	}
	all.Wait()
	return errs
}

// TestUnknownMethodIsNoLostSession: where there are no sessions a 404 with
// -32601 means that the server lacks the method. The request arrives once, and
// the client gets what the server said.
func TestUnknownMethodIsNoLostSession(t *testing.T) {
	t.Parallel()
	w, g := newWorld(t), newGateway(t)
	server := newForgetful(t, form{}, &mcp.StreamableHTTPOptions{Stateless: true, DisableLocalhostProtection: true})
	u := w.upstream("mcp.corp.test", g.token, http2too, server)
	p := w.serve(options{rules: g.rules(`kind = "mcp"`, u.url+"/"), hidden: []string{g.token}})
	for _, protocol := range []string{"h1", "h2"} {
		t.Run(protocol, func(t *testing.T) {
			path := "/" + protocol
			r := mcpRequest(t, http.MethodPost, u.url+path, `{"jsonrpc":"2.0","id":1,"method":"no/such","params":{"_meta":{`+
				`"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"e2e","version":"1"},`+
				`"io.modelcontextprotocol/clientCapabilities":{}}}}`)
			r.Header.Set("Mcp-Protocol-Version", "2026-07-28")
			r.Header.Set("Mcp-Method", "no/such")
			res, err := p.client(t, protocol).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if b, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusNotFound || !strings.Contains(string(b), "-32601") {
				t.Errorf("%s %s, want the server's own 404", res.Status, b)
			}
			if n := len(u.to(path)); n != 1 {
				t.Errorf("%d requests arrived, want one", n)
			}
		})
	}
}
