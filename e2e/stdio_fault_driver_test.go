package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// bridged is a running injectproxy stdio, and its client. Whatever it writes has
// to be messages of JSON-RPC, one a line, each request answered once.
type bridged struct {
	t    *testing.T
	cmd  *exec.Cmd
	kill func() // it and those of its group
	in   io.WriteCloser
	log  lockedText

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when something came
	answers map[string][]rpc
	unasked []rpc // what came without being an answer
	hold    chan struct{}
	large   chan<- []byte

	ended chan struct{} // closed when it has ended and all it wrote was read
	err   error         // of its end
}

// lockedText is a buffer that may be read while it is written.
type lockedText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lockedText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// bridging says how a bridge is started.
type bridging struct {
	token  string   // TOML: where the token comes from
	more   string   // TOML: further tables
	flags  []string // besides the URL
	env    []string
	head   []string // a command and arguments that are to start it; none: it is started directly
	stdin  io.Reader
	slow   chan struct{} // its output is not read before this is closed
	large  chan<- []byte // takes lines of more than 16 KiB, as they come: decoding them would take the test long
	hidden []string      // what it must not write
	plain  bool          // built without the race detector, whatever the tests are
	any    bool          // any exit status will do
}

// bridge starts injectproxy stdio with a rule for the server. When the test
// ends, so does its input, and then it has to end with status 0.
func (f *faulty) bridge(o bridging) *bridged {
	f.t.Helper()
	t := f.t
	program, err := binary()
	if o.plain && raceEnabled {
		program, err = plainBinary()
	}
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	writeFile(t, filepath.Join(home, "config.toml"), fmt.Sprintf(`
upstream_proxy = "direct"
upstream_ca    = [%q]
[audience.server]
%s
[[rule]]
prefix = %q
audience = "server"
kind = "mcp"
%s
`, f.caFile, o.token, f.url, o.more))
	line := append(append(append(o.head, program, "stdio"), o.flags...), f.url)
	b := &bridged{t: t, changed: make(chan struct{}), answers: map[string][]rpc{}, hold: o.slow, large: o.large, ended: make(chan struct{})}
	ctx, kill := context.WithCancel(context.Background())
	b.kill = kill
	b.cmd = exec.CommandContext(ctx, line[0], line[1:]...)
	b.cmd.Env = append(environment(), "INJECTPROXY_HOME="+home, "HOME="+home, "GORACE=atexit_sleep_ms=0") // a race build would sleep for a second
	b.cmd.Env = append(b.cmd.Env, o.env...)
	b.cmd.Stderr = &b.log
	ownGroup(b.cmd)
	b.start(o)
	t.Cleanup(func() { b.check(o) })
	return b
}

func (b *bridged) start(o bridging) {
	b.t.Helper()
	out, err := b.cmd.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	if o.stdin != nil {
		b.cmd.Stdin = o.stdin
	} else if b.in, err = b.cmd.StdinPipe(); err != nil {
		b.t.Fatal(err)
	}
	if err := b.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	go func() {
		defer close(b.ended)
		b.read(out)
		b.err = b.cmd.Wait()
	}()
}

// check ends the bridge, and wants it to have ended and spoken well.
func (b *bridged) check(o bridging) {
	defer b.kill()
	if b.in != nil {
		b.in.Close()
	}
	if err := b.end(); err != nil && !o.any {
		b.t.Errorf("the bridge ended with %v, want status 0", err)
	}
	for id, a := range b.answers {
		if len(a) > 1 {
			b.t.Errorf("request %s was answered %d times", id, len(a))
		}
	}
	text := b.log.String()
	for _, h := range o.hidden {
		if strings.Contains(text, h) {
			b.t.Errorf("the log has the secret %q", h)
		}
	}
	if strings.Contains(text, "DATA RACE") || strings.Contains(text, "panic:") {
		b.t.Error("the bridge raced or panicked")
	}
	if b.t.Failed() {
		b.t.Logf("the bridge's log:\n%.20000s", text)
	}
}

// end waits for the bridge's end.
func (b *bridged) end() error {
	select {
	case <-b.ended:
		return b.err
	case <-time.After(guardTime):
		b.kill()
		<-b.ended
		return errors.New("a long wait, and a signal")
	}
}

// read takes in what the bridge writes until it ends.
func (b *bridged) read(out io.Reader) {
	if b.hold != nil {
		<-b.hold
	}
	lines := bufio.NewReaderSize(out, 64<<10)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			if len(line) > 0 {
				b.t.Errorf("the bridge broke off in a line: %.100q", line)
			}
			return
		}
		if b.large != nil && len(line) > 16<<10 {
			b.large <- line
			continue
		}
		b.took(line)
	}
}

func (b *bridged) took(line []byte) {
	var m rpc
	if err := json.Unmarshal(line, &m); err != nil || m.JSONRPC != "2.0" {
		b.t.Errorf("the bridge wrote what is no message (%v): %.200q", err, line)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case m.Method != "":
		b.unasked = append(b.unasked, m)
	case m.ID == nil || string(m.ID) == "null":
		b.t.Errorf("an answer to nobody: %.200q", line)
	default:
		b.answers[string(m.ID)] = append(b.answers[string(m.ID)], m)
	}
	close(b.changed)
	b.changed = make(chan struct{})
}

// until returns once holds does, which is called with b locked.
func (b *bridged) until(what string, holds func() bool) {
	b.t.Helper()
	for guard := time.After(guardTime); ; {
		b.mu.Lock()
		held, changed := holds(), b.changed
		b.mu.Unlock()
		if held {
			return
		}
		select {
		case <-changed:
		case <-b.ended:
			b.t.Fatalf("the bridge ended (%v), and it never was that %s", b.err, what)
		case <-guard:
			b.t.Fatalf("it does not come to be that %.200s", what)
		}
	}
}

// send writes lines to the bridge, in one piece.
func (b *bridged) send(lines ...string) { b.begin(strings.Join(lines, "\n") + "\n") }

// begin writes a piece of what is to become a line.
func (b *bridged) begin(piece string) {
	if _, err := io.WriteString(b.in, piece); err != nil {
		b.t.Errorf("the bridge takes no more: %v", err)
	}
}

// await returns the answer to the request with that id.
func (b *bridged) await(id string) (m rpc) {
	b.t.Helper()
	b.until("request "+id+" is answered", func() bool {
		if len(b.answers[id]) > 0 {
			m = b.answers[id][0]
		}
		return len(b.answers[id]) > 0
	})
	return m
}

// told counts the notifications that came with that method. b is locked.
func (b *bridged) told(method string) (n int) {
	for _, m := range b.unasked {
		if m.Method == method {
			n++
		}
	}
	return n
}

const (
	initializeLine  = `{"jsonrpc":"2.0","id":"first","method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"fault","version":"1"}}}`
	initializedLine = `{"jsonrpc":"2.0","method":"notifications/initialized"}`
)

// initialize begins the session.
func (b *bridged) initialize() {
	b.t.Helper()
	b.send(initializeLine)
	if m := b.await(`"first"`); m.Error != nil {
		b.t.Fatalf("initialize: %+v", m.Error)
	}
	b.send(initializedLine)
}

// toolLine is a call of a tool, whose key is its id.
func toolLine(id, tool string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%q,"method":"tools/call","params":{"name":%q,"arguments":{"key":%q,"text":"to %s"},"_meta":{"progressToken":"of %s"}}}`, id, tool, id, id, id)
}

// ask calls echo, which must succeed.
func (b *bridged) ask(id string) {
	b.t.Helper()
	b.send(toolLine(id, "echo"))
	b.wantEcho(id)
}

// wantEcho waits for a result of echo, or of what answers the same.
func (b *bridged) wantEcho(id string) {
	b.t.Helper()
	m := b.await(`"` + id + `"`)
	if m.Error != nil || string(m.Result) != spoken("to "+id) {
		b.t.Fatalf("call %s: result %.200q, error %+v", id, m.Result, m.Error)
	}
}

// wantError waits for an error of the bridge's own, of which its line is one
// that says something, and returns the line.
func (b *bridged) wantError(id string) string {
	b.t.Helper()
	m := b.await(`"` + id + `"`)
	if m.Error == nil || m.Error.Message == "" || strings.ContainsAny(m.Error.Message, "\r\n") {
		b.t.Fatalf("call %s: result %.200q, error %+v, want an error in a line", id, m.Result, m.Error)
	}
	return m.Error.Message
}
