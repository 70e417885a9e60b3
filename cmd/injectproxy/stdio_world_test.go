package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/injectproxy/injectproxy/internal/jsonrpc"
)

// remote is an MCP server with sessions behind a token, which takes down what it
// is sent.
type remote struct {
	url   string // of its endpoint, whose name only the upstream proxy knows
	board *switchboard

	check  func(token string) bool // nil: it is among those of valid
	claims string                  // that the challenge of a refusal wants, if any

	mu    sync.Mutex
	valid map[string]bool // tokens
	seen  []sighting
	log   eventLog // METHOD of HTTP and of JSON-RPC, one line each
}

func newRemote(t testing.TB, tokens ...string) *remote {
	t.Helper()
	m := &remote{valid: map[string]bool{}}
	for _, token := range tokens {
		m.valid[token] = true
	}
	root := newLive(t, "h2", m.serve)
	authority := strings.TrimPrefix(root, "https://")
	_, p, err := net.SplitHostPort(authority)
	must(t, err)
	m.url, m.board = root+"/mcp", newSwitchboard(t, map[string]string{authority: "127.0.0.1:" + p})
	return m
}

// revoke has it take another token only.
func (m *remote) revoke(next string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.valid = map[string]bool{next: true}
}

func (m *remote) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	message, _ := jsonrpc.Parse(body)
	s := sighting{method: r.Method, target: r.RequestURI, header: r.Header.Clone(), proto: r.ProtoMajor}
	m.mu.Lock()
	m.seen = append(m.seen, s)
	known := m.valid[s.bearer()]
	m.mu.Unlock()
	if m.check != nil {
		known = m.check(s.bearer())
	}
	fmt.Fprintln(&m.log, r.Method, message.Method, "authorized:", known)
	switch {
	case !known && m.claims != "":
		w.Header().Set("WWW-Authenticate", `Bearer error="insufficient_claims", claims="`+base64.StdEncoding.EncodeToString([]byte(m.claims))+`"`)
		w.WriteHeader(http.StatusUnauthorized)
	case !known:
		challenge(w)
	case r.Method == http.MethodGet:
		w.WriteHeader(http.StatusMethodNotAllowed)
	case r.Method == http.MethodDelete:
	case message.Kind != jsonrpc.Request:
		w.WriteHeader(http.StatusAccepted)
	case message.Method == "initialize":
		w.Header().Set("Mcp-Session-Id", "session-1")
		m.answer(w, message.ID, `{"protocolVersion":"2025-06-18","capabilities":{"tools":{},"logging":{}},"serverInfo":{"name":"remote","version":"1"}}`)
	case strings.Contains(string(body), `"hang"`):
		<-r.Context().Done()
	default:
		m.answer(w, message.ID, `{"content":[{"type":"text","text":"done"}]}`)
	}
}

func (m *remote) answer(w http.ResponseWriter, id json.RawMessage, result string) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":%s}`, id, result)
}

// sightings returns what it saw.
func (m *remote) sightings() []sighting {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.seen)
}

// ended waits until its session is ended, which must be so once.
func (m *remote) ended(t testing.TB) {
	t.Helper()
	m.log.wait(t, "DELETE ")
	if n := strings.Count(m.log.String(), "DELETE "); n != 1 {
		t.Errorf("the session was ended %d times:\n%s", n, m.log.String())
	}
}

// way is the setting of the upstream proxy that leads to it.
func (m *remote) way() string { return fmt.Sprintf("upstream_proxy = %q\n", m.board.url(nil)) }

// ruled writes a configuration with a rule for the server, of audience a, and
// returns its directory.
func (m *remote) ruled(t testing.TB, more string) (home string) {
	t.Helper()
	home = t.TempDir()
	settings{top: m.way(), tables: fileAudiences + mcpRule(m.url) + more, files: tokenFiles}.write(t, home)
	return home
}

// piped is a running injectproxy stdio.
type piped struct {
	t              testing.TB
	cmd            *exec.Cmd
	in             io.WriteCloser
	stdout, stderr eventLog
	ended          bool
}

// startStdio starts injectproxy stdio in home.
func startStdio(t testing.TB, home string, env []string, args ...string) *piped {
	t.Helper()
	p := newPiped(t, home, env, args...)
	p.start()
	return p
}

// newPiped is one that is to be started.
func newPiped(t testing.TB, home string, env []string, args ...string) *piped {
	t.Helper()
	p := &piped{t: t}
	ctx, cancel := context.WithTimeout(context.Background(), guard)
	p.cmd = command(t, ctx, home, env, append([]string{"stdio"}, args...)...)
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	var err error
	p.in, err = p.cmd.StdinPipe()
	must(t, err)
	t.Cleanup(func() {
		cancel()
		if !p.ended && p.cmd.Process != nil {
			p.cmd.Wait()
		}
	})
	return p
}

func (p *piped) start() {
	p.t.Helper()
	must(p.t, p.cmd.Start())
}

// say sends a line.
func (p *piped) say(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p.in, line+"\n"); err != nil {
		p.t.Errorf("write: %v\n%s", err, p.stderr.String())
	}
}

const beginning = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}`

// begin begins a session.
func (p *piped) begin() {
	p.t.Helper()
	p.say(beginning)
	if line := p.answer("0"); !strings.Contains(line, `"serverInfo"`) {
		p.t.Fatalf("no session: %s", line)
	}
	p.say(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
}

// call calls a tool and returns the answer.
func (p *piped) call(id, tool string) string {
	p.t.Helper()
	p.say(`{"jsonrpc":"2.0","id":` + id + `,"method":"tools/call","params":{"name":"` + tool + `"}}`)
	return p.answer(id)
}

// answer waits for that of the request with the given id.
func (p *piped) answer(id string) string {
	p.t.Helper()
	return p.stdout.wait(p.t, `"id":`+id+`,`)
}

// wait waits for its end, by itself, and returns its status. All that it wrote
// to its standard output has to be messages.
func (p *piped) wait() int {
	p.t.Helper()
	p.cmd.Wait() // the status says it
	p.ended = true
	for line := range strings.Lines(p.stdout.String()) {
		if _, err := jsonrpc.Parse([]byte(line)); err != nil || !strings.HasSuffix(line, "\n") {
			p.t.Errorf("on standard output is what is not a message: %q", line)
		}
	}
	return p.cmd.ProcessState.ExitCode()
}

// finish ends its input, and wants it to end well.
func (p *piped) finish() {
	p.t.Helper()
	p.in.Close()
	if status := p.wait(); status != 0 {
		p.t.Errorf("exit status %d:\n%s", status, p.stderr.String())
	}
}
