package e2e_test

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// faulty is an MCP server of streamable HTTP with sessions, behind TLS, that
// wants a bearer token and fails where a test has it fail. It keeps what came,
// and counts how often each call was carried out. It ends with the test.
type faulty struct {
	t      *testing.T
	url    string // of its endpoint
	caFile string // the root of its certificate
	door   *faultyDoor

	mu        sync.Mutex
	changed   chan struct{}   // closed and replaced when something happened
	bearers   map[string]bool // that it accepts
	unknown   int             // how it answers a session that it does not know
	away      int             // so many calls to come get a 503
	sessions  map[string]*faultySession
	visits    []faultyVisit
	executed  map[string]int // calls carried out, by their key
	left      map[string]int // calls whose client closed the request, by their key
	floods    int            // pieces of floods that were said
	cancelled []string       // the ids that were named to notifications/cancelled
	released  map[string]chan struct{}
}

// faultySession is a session that the server knows.
type faultySession struct {
	events chan string   // to its GET stream
	gone   chan struct{} // closed when the server forgot it
}

// faultyVisit is a message as it came, or a request without one.
type faultyVisit struct {
	method  string // of JSON-RPC, or else of HTTP
	id      string // as it was written; empty: none
	session string
	bearer  string
	status  int // of the answer; 200 if it began well
}

// rpc is any message of JSON-RPC.
type rpc struct {
	JSONRPC string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
	Result  json.RawMessage `json:"result"`
	Error   *struct {
		Code    int             `json:"code"`
		Message string          `json:"message"`
		Data    json.RawMessage `json:"data"`
	} `json:"error"`
}

// newFaulty starts a server that accepts token and speaks the given protocols
// (of ALPN).
func newFaulty(t *testing.T, token string, protocols []string) *faulty {
	t.Helper()
	f := &faulty{
		t: t, changed: make(chan struct{}), bearers: map[string]bool{token: true}, unknown: http.StatusNotFound,
		sessions: map[string]*faultySession{}, executed: map[string]int{}, left: map[string]int{}, released: map[string]chan struct{}{},
	}
	var cert tls.Certificate
	cert, f.caFile = newCertificate(t, "127.0.0.1")
	s := httptest.NewUnstartedServer(http.HandlerFunc(f.serve))
	f.door = &faultyDoor{Listener: s.Listener}
	s.Listener = f.door
	s.EnableHTTP2 = slices.Contains(protocols, "h2")
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: protocols}
	s.Config.ErrorLog = quiet
	s.StartTLS()
	t.Cleanup(s.Close)
	f.url = s.URL + "/mcp"
	return f
}

// change does something to the server, and tells those who wait.
func (f *faulty) change(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
	close(f.changed)
	f.changed = make(chan struct{})
}

// until returns once holds does, which is called with f locked.
func (f *faulty) until(what string, holds func() bool) {
	f.t.Helper()
	for guard := time.After(guardTime); ; {
		f.mu.Lock()
		held, changed := holds(), f.changed
		f.mu.Unlock()
		if held {
			return
		}
		select {
		case <-changed:
		case <-guard:
			f.t.Fatalf("it does not come to be that %s; what came: %+v", what, f.came())
		}
	}
}

// forget makes the server forget its sessions, whose streams end.
func (f *faulty) forget() {
	f.change(func() {
		for id, s := range f.sessions {
			close(s.gone)
			delete(f.sessions, id)
		}
	})
}

// restart kills the server and has it come back without a session. While it is
// down, meanwhile is called.
func (f *faulty) restart(meanwhile func()) {
	f.door.shut(true)
	f.forget()
	meanwhile()
	f.door.shut(false)
}

// accept makes token the only one that is right.
func (f *faulty) accept(token string) {
	f.change(func() { f.bearers = map[string]bool{token: true} })
}

// release lets calls with that key be answered that hang.
func (f *faulty) release(key string) { f.change(func() { close(f.hold(key)) }) }

// hold returns what release closes. f is locked.
func (f *faulty) hold(key string) chan struct{} {
	if f.released[key] == nil {
		f.released[key] = make(chan struct{})
	}
	return f.released[key]
}

// say sends a notification on the GET stream of each session.
func (f *faulty) say(method string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.sessions {
		s.events <- fmt.Sprintf(`{"jsonrpc":"2.0","method":%q}`, method)
	}
}

// came returns what came so far.
func (f *faulty) came() []faultyVisit {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.visits)
}

// of returns those that have a method of JSON-RPC or HTTP. f is locked.
func (f *faulty) of(method string) (list []faultyVisit) {
	for _, v := range f.visits {
		if v.method == method {
			list = append(list, v)
		}
	}
	return list
}

// all is of for those who have not locked f.
func (f *faulty) all(method string) []faultyVisit {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.of(method)
}

// times returns how often the call with that key was carried out.
func (f *faulty) times(key string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.executed[key]
}

func (f *faulty) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var m rpc
	body, text := withoutText(body)
	if r.Method == http.MethodPost {
		if err := json.Unmarshal(body, &m); err != nil {
			http.Error(w, "this is no message", http.StatusBadRequest)
			return
		}
	}
	s := f.admit(w, r, m)
	switch {
	case s == nil:
	case r.Method == http.MethodGet:
		f.stream(w, r, s)
	case r.Method == http.MethodDelete, m.Method == "":
		w.WriteHeader(http.StatusAccepted)
	case m.ID == nil:
		f.notified(m)
		w.WriteHeader(http.StatusAccepted)
	case m.Method == "initialize":
		answerTo(w, m, `{"protocolVersion":"2025-06-18","capabilities":{"tools":{"listChanged":true},"logging":{}},"serverInfo":{"name":"faulty","version":"1"}}`)
	case m.Method == "tools/list":
		answerTo(w, m, `{"tools":[{"name":"echo","inputSchema":{"type":"object"}},{"name":"hang","inputSchema":{"type":"object"}}]}`)
	case m.Method == "tools/call":
		f.call(w, r, s, m, text)
	case m.Method == "ping", m.Method == "logging/setLevel":
		answerTo(w, m, `{}`)
	default:
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"Method not found"}}`, m.ID)
	}
}

// admit keeps the request and returns its session, or answers it.
func (f *faulty) admit(w http.ResponseWriter, r *http.Request, m rpc) (s *faultySession) {
	v := faultyVisit{method: m.Method, id: string(m.ID), session: r.Header.Get("Mcp-Session-Id"), bearer: bearerOf(r.Header)}
	if v.method == "" {
		v.method = r.Method
	}
	f.change(func() {
		s = f.sessions[v.session]
		switch {
		case !f.bearers[v.bearer]:
			v.status, s = http.StatusUnauthorized, nil
		case m.Method == "initialize":
			v.status, v.session = http.StatusOK, rand.Text()
			s = &faultySession{events: make(chan string, 100), gone: make(chan struct{})}
			f.sessions[v.session] = s
		case s == nil:
			v.status = f.unknown
		case m.Method == "tools/call" && f.away > 0:
			f.away--
			v.status, s = http.StatusServiceUnavailable, nil
		case r.Method == http.MethodDelete:
			v.status = http.StatusOK
			close(s.gone)
			delete(f.sessions, v.session)
		default:
			v.status = http.StatusOK
		}
		f.visits = append(f.visits, v)
	})
	w.Header().Set("Content-Type", "application/json")
	switch v.status {
	case http.StatusOK:
		if m.Method == "initialize" {
			w.Header().Set("Mcp-Session-Id", v.session)
		}
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		w.WriteHeader(v.status)
	case http.StatusBadRequest: // as the reference server says it
		w.WriteHeader(v.status)
		io.WriteString(w, `{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: No valid session ID provided"},"id":null}`)
	case http.StatusNotFound:
		w.WriteHeader(v.status)
		io.WriteString(w, `{"jsonrpc":"2.0","error":{"code":-32001,"message":"Session not found"},"id":null}`)
	default:
		http.Error(w, "upgrading, be back soon", v.status)
	}
	return s
}

func answerTo(w io.Writer, m rpc, result string) {
	fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":%s}`, m.ID, result)
}

// notified notes which request was cancelled.
func (f *faulty) notified(m rpc) {
	var p struct {
		RequestID json.RawMessage `json:"requestId"`
	}
	if m.Method == "notifications/cancelled" && json.Unmarshal(m.Params, &p) == nil {
		f.change(func() { f.cancelled = append(f.cancelled, string(p.RequestID)) })
	}
}

// stream is the GET leg.
func (f *faulty) stream(w http.ResponseWriter, r *http.Request, s *faultySession) {
	beginEvents(w)
	for {
		select {
		case e := <-s.events:
			event(w, e)
		case <-s.gone:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// beginEvents sends the header of a stream.
func beginEvents(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/event-stream")
	http.NewResponseController(w).Flush()
}

func event(w http.ResponseWriter, message string) {
	fmt.Fprintf(w, "event: message\ndata: %s\n\n", message)
	http.NewResponseController(w).Flush()
}

// faultyCall is what a call says: which one it is, and what it is about.
type faultyCall struct {
	Name      string `json:"name"`
	Arguments struct {
		Key  string `json:"key"`
		Text string `json:"text"`
		Size int    `json:"size"`
	} `json:"arguments"`
	Meta struct {
		ProgressToken json.RawMessage `json:"progressToken"`
	} `json:"_meta"`
}

// call carries out a tool: echo answers, hang once it is released, steps tells
// of progress until it is, on a stream, flood says as many things as its key is,
// of so many bytes, cut begins a stream and breaks it off, numbered begins one
// whose events have ids and hangs, and size answers with so many bytes.
func (f *faulty) call(w http.ResponseWriter, r *http.Request, s *faultySession, m rpc, long []byte) {
	var c faultyCall
	if err := json.Unmarshal(m.Params, &c); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var hold chan struct{}
	f.change(func() {
		f.executed[c.Arguments.Key]++
		hold = f.hold(c.Arguments.Key)
	})
	text := c.Arguments.Text
	if long != nil {
		text = string(long)
	}
	switch c.Name {
	case "hang":
		f.await(r, s, c, hold)
	case "steps":
		beginEvents(w)
		f.steps(w, r, c, hold)
		event(w, `{"jsonrpc":"2.0","id":`+string(m.ID)+`,"result":`+spoken(text)+`}`)
		return
	case "flood":
		beginEvents(w)
		f.flood(w, c)
		event(w, `{"jsonrpc":"2.0","id":`+string(m.ID)+`,"result":`+spoken(text)+`}`)
		return
	case "numbered":
		beginEvents(w)
		io.WriteString(w, "id: of "+c.Arguments.Key+"\ndata:\n\n")
		http.NewResponseController(w).Flush()
		f.await(r, s, c, hold)
	case "cut":
		beginEvents(w)
		panic(http.ErrAbortHandler)
	case "size":
		text = string(bytes.Repeat([]byte{'x'}, c.Arguments.Size))
	}
	answerTo(w, m, spoken(text))
}

// await returns once hold is closed. If it is too late for an answer, there
// will be none.
func (f *faulty) await(r *http.Request, s *faultySession, c faultyCall, hold chan struct{}) {
	select {
	case <-hold:
		return
	case <-r.Context().Done():
		f.change(func() { f.left[c.Arguments.Key]++ })
	case <-s.gone:
	}
	panic(http.ErrAbortHandler)
}

// steps tells of progress until hold is closed.
func (f *faulty) steps(w http.ResponseWriter, r *http.Request, c faultyCall, hold chan struct{}) {
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for n := 1; ; n++ {
		select {
		case <-hold:
			return
		case <-r.Context().Done():
			return
		case <-again.C:
			event(w, fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":%d}}`, c.Meta.ProgressToken, n))
		}
	}
}

// flood sends notifications, as fast as they are taken.
func (f *faulty) flood(w http.ResponseWriter, c faultyCall) {
	pieces, _ := strconv.Atoi(c.Arguments.Key)
	for n := range pieces {
		event(w, flooded(n, c.Arguments.Size))
		f.change(func() { f.floods++ })
	}
}

// flooded is the nth piece of a flood.
func flooded(n, size int) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"%d %s"}}`, n, strings.Repeat("x", size))
}

// spoken is the result of a tool. A long text needs no quoting here.
func spoken(text string) string {
	quoted := `"` + text + `"`
	if len(text) < 16<<10 {
		b, _ := json.Marshal(text)
		quoted = string(b)
	}
	return `{"content":[{"type":"text","text":` + quoted + `}]}`
}

// withoutText takes the text out of a large call, in which it comes last, and
// needs no quoting: to decode it would take the test long.
func withoutText(body []byte) (rest, text []byte) {
	const sign, end = `"text":"`, `"}}}`
	at := bytes.Index(body, []byte(sign)) + len(sign)
	if len(body) < 1<<20 || at < len(sign) || !bytes.HasSuffix(body, []byte(end)) {
		return body, nil
	}
	return append(body[:at:at], end...), body[at : len(body)-len(end)]
}
