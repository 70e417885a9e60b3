package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// front is an MCP server over HTTP in front of children that speak stdio, for
// clients that speak nothing else: one child for each session or, without
// sessions, one for all, and one for each that begins a session all the same.
// It does what the transport leaves to it, and nothing more: the header fields
// of MCP 2026-07-28, which say what bodies say, it does not look at.
type front struct {
	*httptest.Server
	begin     func() *child
	stateless bool

	mu       sync.Mutex
	sessions map[string]*child // the one for all is that of no session
	began    int
}

func newFront(t *testing.T, stateless bool, begin func() *child) *front {
	t.Helper()
	f := &front{begin: begin, stateless: stateless, sessions: map[string]*child{}}
	f.Server = httptest.NewUnstartedServer(f)
	f.Start()
	t.Cleanup(func() {
		f.mu.Lock()
		for _, c := range f.sessions {
			c.end(t)
		}
		f.mu.Unlock()
		f.Close()
	})
	return f
}

// address is how a client on this machine names it.
func (f *front) address() string { return strings.Replace(f.URL, "127.0.0.1", "localhost", 1) }

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if "http://"+r.Host != f.address() || r.Header.Get("Origin") != "" && r.Header.Get("Origin") != f.address() {
		http.Error(w, "somebody else's name", http.StatusForbidden) // DNS rebinding
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var m frame
	if r.Method == http.MethodPost && json.Unmarshal(body, &m) != nil {
		http.Error(w, "not a message", http.StatusBadRequest)
		return
	}
	c, session := f.child(r, m)
	switch {
	case c == nil:
		http.Error(w, "no such session", http.StatusNotFound)
	case r.Method == http.MethodPost:
		w.Header()["Mcp-Session-Id"] = session
		c.post(w, r, m, body, f.stateless)
	case f.stateless:
		w.WriteHeader(http.StatusMethodNotAllowed)
	case r.Method == http.MethodGet:
		c.unasked.stream(w, r)
	default:
		f.mu.Lock()
		delete(f.sessions, session[0])
		f.mu.Unlock()
		c.in.Close()
		<-c.ended
		w.WriteHeader(http.StatusNoContent)
	}
}

// child returns who has r's session, and what that is called.
func (f *front) child(r *http.Request, m frame) (*child, []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := r.Header.Get("Mcp-Session-Id")
	if f.stateless {
		id = ""
	}
	if m.Method == "initialize" && id == "" {
		f.began++
		id = fmt.Sprint("session-", f.began)
	}
	if f.sessions[id] == nil && (id == "" && f.stateless || m.Method == "initialize") {
		f.sessions[id] = f.begin()
	}
	return f.sessions[id], []string{id}
}

// frame is what the front has to know of a message.
type frame struct {
	ID     json.RawMessage
	Method string
	Error  *struct{ Code int }
	Params struct {
		ProgressToken json.RawMessage
		Meta          struct {
			ProgressToken  json.RawMessage
			SubscriptionID json.RawMessage `json:"io.modelcontextprotocol/subscriptionId"`
		} `json:"_meta"`
	}
}

func (m frame) request() bool { return m.ID != nil && m.Method != "" }

// asker is messages of the child's on their way to a client that waits for
// them: by a POST, or unasked.
type asker struct {
	frame
	messages chan []byte // closed after the last
}

// next returns the next message, if there is one.
func (e *asker) next(r *http.Request) []byte {
	select {
	case b := <-e.messages:
		return b
	case <-r.Context().Done():
		return nil
	}
}

// stream writes messages as events, those of first before the others.
func (e *asker) stream(w http.ResponseWriter, r *http.Request, first ...[]byte) {
	w.Header().Set("Content-Type", "text/event-stream")
	http.NewResponseController(w).Flush()
	for _, b := range first {
		fmt.Fprintf(w, "event: message\ndata: %s\n\n", b)
	}
	http.NewResponseController(w).Flush()
	for b := e.next(r); b != nil; b = e.next(r) {
		fmt.Fprintf(w, "event: message\ndata: %s\n\n", b)
		http.NewResponseController(w).Flush()
	}
}

// post gives a message to the child, and what comes of it to the client.
func (c *child) post(w http.ResponseWriter, r *http.Request, m frame, body []byte, stateless bool) {
	if !m.request() {
		c.write(body)
		w.WriteHeader(http.StatusAccepted)
		return
	}
	e := c.await(m)
	c.write(body)
	first := e.next(r)
	var answer frame
	json.Unmarshal(first, &answer)
	if status := answer.status(); stateless && status != http.StatusOK {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		w.Write(first)
		return
	}
	if first != nil {
		e.stream(w, r, first)
	}
	if stateless && r.Context().Err() != nil {
		c.write(fmt.Appendf(nil, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%s}}`, m.ID))
	}
	c.forget(e)
}

// status is what MCP 2026-07-28 has an answer come with.
func (m frame) status() int {
	switch {
	case m.Error == nil:
		return http.StatusOK
	case m.Error.Code == -32601:
		return http.StatusNotFound
	}
	return http.StatusBadRequest
}

// write gives the child a message as the line that it has to be.
func (c *child) write(message []byte) {
	var line bytes.Buffer
	json.Compact(&line, message)
	line.WriteByte('\n')
	c.writing.Lock()
	defer c.writing.Unlock()
	c.in.Write(line.Bytes())
}
