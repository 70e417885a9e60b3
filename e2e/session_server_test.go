package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
	"time"
)

// message is a request to an MCP server, as it arrived.
type message struct {
	method  string // of JSON-RPC, or else of HTTP
	body    string
	proto   string
	session string // that it was sent with, or got
	client  string // by the name that its initialize gave, as far as that is known
	last    string // Last-Event-ID
	down    bool   // nobody was there
	status  int    // of the answer, once there is one
}

// openGet tells whether m is a stream that was opened, missedGet whether it
// is one that could not be, and resumed whether it is to go on from an event.
func (m message) openGet() bool   { return m.method == http.MethodGet && m.status == http.StatusOK }
func (m message) missedGet() bool { return m.method == http.MethodGet && m.down }
func (m message) resumed() bool   { return m.method == http.MethodGet && m.last != "" }

// mortal is a server that can be killed and started again behind the same
// address. Nobody is there in between.
type mortal struct {
	t     *testing.T
	begin func() (address string, kill func())

	mu       sync.Mutex
	address  string // empty: down
	kill     func()
	missed   int
	messages []*message
	clients  map[string]string // name, by session
	changed  chan struct{}     // closed and replaced when messages changes
}

// newMortal returns the reference server.
func newMortal(t *testing.T, n node) *mortal {
	t.Helper()
	return begun(t, func() (string, func()) { return startEverything(t, n, "streamableHttp") })
}

// begun returns the server that begin starts.
func begun(t *testing.T, begin func() (address string, kill func())) *mortal {
	t.Helper()
	m := &mortal{t: t, begin: begin, clients: map[string]string{}, changed: make(chan struct{})}
	m.start()
	t.Cleanup(m.stop)
	return m
}

func (m *mortal) start() {
	m.t.Helper()
	address, kill := m.begin()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.address, m.kill = address, kill
}

// replace has another server take over before this one is killed: somebody is
// there all the time, who knows no session.
func (m *mortal) replace() {
	m.t.Helper()
	m.mu.Lock()
	kill := m.kill
	m.mu.Unlock()
	m.start()
	kill()
}

// stop kills the server, with whatever it was doing.
func (m *mortal) stop() {
	m.mu.Lock()
	kill := m.kill
	m.address = ""
	m.mu.Unlock()
	kill()
}

// ServeHTTP passes r on.
func (m *mortal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	msg, address := m.note(r, body)
	if address == "" {
		m.miss(w)
		return
	}
	(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: address})
			r.Out.Header.Del("Authorization")
		},
		ModifyResponse: func(r *http.Response) error {
			m.answered(msg, r)
			return nil
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ErrorLog:     quiet,
	}).ServeHTTP(w, r)
}

// miss is what one meets in place of the server: by turns that of a gateway
// before it, and of nothing at all.
func (m *mortal) miss(w http.ResponseWriter) {
	m.mu.Lock()
	m.missed++
	even := m.missed%2 == 0
	m.mu.Unlock()
	if !even {
		panic(http.ErrAbortHandler)
	}
	http.Error(w, "<h1>502 Bad Gateway</h1>", http.StatusBadGateway)
}

// note keeps r and returns where it goes.
func (m *mortal) note(r *http.Request, body []byte) (*message, string) {
	var rpc struct {
		Method string
		Params struct{ ClientInfo struct{ Name string } }
	}
	json.Unmarshal(body, &rpc)
	if rpc.Method == "" {
		rpc.Method = r.Method
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	msg := &message{method: rpc.Method, body: string(body), proto: r.Proto, session: r.Header.Get("Mcp-Session-Id"), last: r.Header.Get("Last-Event-ID"), down: m.address == ""}
	if msg.client = rpc.Params.ClientInfo.Name; msg.client == "" {
		msg.client = m.clients[msg.session]
	}
	m.messages = append(m.messages, msg)
	m.change()
	return msg, m.address
}

func (m *mortal) answered(msg *message, r *http.Response) {
	m.mu.Lock()
	defer m.mu.Unlock()
	msg.status = r.StatusCode
	if msg.method == "initialize" {
		msg.session = r.Header.Get("Mcp-Session-Id")
		m.clients[msg.session] = msg.client
	}
	m.change()
}

func (m *mortal) change() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// all returns those of the client's messages that are wanted, in order.
func (m *mortal) all(client string, wanted func(message) bool) []message {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []message
	for _, msg := range m.messages {
		if msg.client == client && wanted(*msg) {
			all = append(all, *msg)
		}
	}
	return all
}

// forget drops what was kept of messages so far.
func (m *mortal) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.messages = nil
}

// wait waits until n of the client's messages are as wanted.
func (m *mortal) wait(what, client string, n int, wanted func(message) bool) error {
	guard := time.After(guardTime)
	for {
		m.mu.Lock()
		changed := m.changed
		m.mu.Unlock()
		if len(m.all(client, wanted)) >= n {
			return nil
		}
		select {
		case <-changed:
		case <-guard:
			return fmt.Errorf("%s: %s did not arrive; what did: %+v", client, what, m.all(client, func(message) bool { return true }))
		}
	}
}

// post sends a request to the server itself, in a session, as if its client
// had.
func (m *mortal) post(session, method string, params any) error {
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": "the test", "method": method, "params": params})
	if err != nil {
		return err
	}
	m.mu.Lock()
	to := "http://" + m.address + "/mcp"
	m.mu.Unlock()
	r, err := http.NewRequestWithContext(m.t.Context(), http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header = http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}, "Mcp-Session-Id": {session}}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if b, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK || !bytes.Contains(b, []byte(`"result"`)) {
		return fmt.Errorf("%s: %s %s (%v)", method, res.Status, b, err)
	}
	return nil
}

// quiet is for what is meant to fail.
var quiet = log.New(io.Discard, "", 0)
