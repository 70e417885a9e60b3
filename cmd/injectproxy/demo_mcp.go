package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
)

// demoVersion is the last version of MCP that has sessions.
const demoVersion = "2025-11-25"

// demoSessions are the sessions of the demonstration's MCP server, which
// forgets them as a real one does when it is restarted.
type demoSessions struct {
	mu    sync.Mutex
	live  map[string]*demoSession
	begun int // sessions so far
	calls int // tools/call that were run
}

// demoSession is what the server keeps of one client.
type demoSession struct {
	level  string        // of the log messages that the client asked for
	says   chan string   // to the client's stream
	closed chan struct{} // the server does not know the session any more
}

func newDemoSessions() *demoSessions { return &demoSessions{live: map[string]*demoSession{}} }

// begin returns the id of a new session.
func (d *demoSessions) begin() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	id := rand.Text()
	d.live[id] = &demoSession{says: make(chan string), closed: make(chan struct{})}
	d.begun++
	return id
}

// find returns a live session, nil if there is none of that id.
func (d *demoSessions) find(id string) *demoSession {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.live[id]
}

// end forgets one session, as its client wants.
func (d *demoSessions) end(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.live[id]; s != nil {
		close(s.closed)
		delete(d.live, id)
	}
}

// forget forgets all, and what was counted.
func (d *demoSessions) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.live {
		close(s.closed)
	}
	d.live, d.begun, d.calls = map[string]*demoSession{}, 0, 0
}

// counted returns how many sessions have begun, and how many tools were called,
// since the last forget.
func (d *demoSessions) counted() (begun, calls int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.begun, d.calls
}

// called counts the call of a tool.
func (d *demoSessions) called() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls++
}

// setLevel has a session's log messages of a level, and those above it, sent.
func (d *demoSessions) setLevel(s *demoSession, level string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s.level = level
}

// say sends a log message on the stream of the one session that wants it, once
// that is open.
func (d *demoSessions) say(ctx context.Context, level, text string) error {
	d.mu.Lock()
	var to *demoSession
	for _, s := range d.live {
		if s.level == level {
			to = s
		}
	}
	d.mu.Unlock()
	if to == nil {
		return errors.New("the server has no session whose client asked for its log")
	}
	message := fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":%q,"data":%q}}`, level, text)
	select {
	case to.says <- message:
		return nil
	case <-ctx.Done():
		return errors.New("no stream was open for what the server had to say")
	}
}

// serve speaks as much of MCP's streamable HTTP transport as a client needs to
// log, to call one tool, and to lose its session. The tool says who called it.
func (d *demoSessions) serve(rw http.ResponseWriter, r *http.Request, caller string) {
	id := r.Header.Get("Mcp-Session-Id")
	session := d.find(id)
	if id != "" && session == nil {
		http.Error(rw, "session not found", http.StatusNotFound)
		return
	}
	var call demoCall
	if r.Method == http.MethodPost && json.NewDecoder(r.Body).Decode(&call) != nil {
		http.Error(rw, "POST a JSON-RPC message", http.StatusBadRequest)
		return
	}
	switch {
	case call.Method == "initialize":
		rw.Header().Set("Mcp-Session-Id", d.begin())
		call.answer(rw, map[string]any{
			"protocolVersion": demoVersion, "serverInfo": map[string]any{"name": "demo", "version": "1"},
			"capabilities": map[string]any{"tools": map[string]any{"listChanged": true}, "logging": map[string]any{}},
		})
	case session == nil:
		http.Error(rw, "Mcp-Session-Id is missing", http.StatusBadRequest)
	case r.Method == http.MethodGet:
		session.stream(rw, r)
	case r.Method == http.MethodDelete:
		d.end(id)
	default:
		d.run(session, call, rw, caller)
	}
}

// run does what a message within a session asks for.
func (d *demoSessions) run(session *demoSession, call demoCall, rw http.ResponseWriter, caller string) {
	switch call.Method {
	case "notifications/initialized":
		rw.WriteHeader(http.StatusAccepted)
	case "logging/setLevel":
		d.setLevel(session, call.Params.Level)
		call.answer(rw, map[string]any{})
	case "tools/call":
		d.called()
		call.answer(rw, map[string]any{"content": []any{map[string]any{"type": "text", "text": "hello, application " + caller}}})
	default:
		http.Error(rw, "unknown method", http.StatusBadRequest)
	}
}

// stream sends what the server has to say until one of the two has enough.
func (s *demoSession) stream(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("Content-Type", "text/event-stream")
	http.NewResponseController(rw).Flush()
	for {
		select {
		case message := <-s.says:
			fmt.Fprintf(rw, "data: %s\n\n", message)
			http.NewResponseController(rw).Flush()
		case <-s.closed:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// demoCall is a JSON-RPC message as far as the server looks at it.
type demoCall struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params struct {
		Level string `json:"level"`
	} `json:"params"`
}

func (c demoCall) answer(rw http.ResponseWriter, result any) {
	rw.Header().Set("Content-Type", "application/json")
	json.NewEncoder(rw).Encode(map[string]any{"jsonrpc": "2.0", "id": c.ID, "result": result})
}
