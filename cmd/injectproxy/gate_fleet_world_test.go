//go:build unix

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

// fleet is what stands around several gates of one configuration: two MCP servers
// that know nothing of one another's sessions, one that has none, and a Redis.
type fleet struct {
	*gateWorld
	store   *fleetStore
	begun   atomic.Int64 // sessions of all servers
	reached atomic.Int64 // requests that came to a server that has sessions
	made    []*mcp.Server
}

// newFleet writes the gate.toml of the gates.
func newFleet(t testing.TB) *fleet {
	t.Helper()
	f := &fleet{store: newFleetStore(t)}
	f.gateWorld = newGateWorld(t, "drain = \"1m\"\n[redis]\nurl = \"redis://"+f.store.front.addr+"\"", "default = \"allow\"")
	one, two, free := f.replica("one", false), f.replica("two", false), f.replica("free", true)
	text := strings.Replace(f.read("gate.toml"), fmt.Sprintf("%q", f.upstream.URL), fmt.Sprintf("%q, %q", one, two), 1)
	text += fmt.Sprintf("\n[[route]]\npath = \"/free\"\nupstream = [\"%s/free\"]\ndefault = \"allow\"\n", free)
	writeTestFile(t, filepath.Join(f.home, "gate.toml"), text)
	return f
}

// replica runs an MCP server of that name.
func (f *fleet) replica(name string, stateless bool) (url string) {
	h := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return f.counting(name) }, &mcp.StreamableHTTPOptions{EventStore: mcp.NewMemoryEventStore(nil), Stateless: stateless, DisableLocalhostProtection: true})
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !stateless {
			f.reached.Add(1)
			if r.Header.Get("Mcp-Session-Id") == "" {
				f.begun.Add(1)
			}
		}
		h.ServeHTTP(w, r)
	}))
	f.t.Cleanup(func() {
		ts.CloseClientConnections()
		ts.Close()
		for _, s := range f.made {
			for session := range s.Sessions() {
				session.Close()
			}
		}
	})
	return ts.URL
}

// counting is the server of one session. Its tool count says which server it is and
// how often it was called, and so does an event of its own.
func (f *fleet) counting(name string) *mcp.Server {
	s := mcp.NewServer(&mcp.Implementation{Name: name, Version: "1"}, nil)
	f.mu.Lock()
	f.made = append(f.made, s)
	f.mu.Unlock()
	var n atomic.Int64
	mcp.AddTool(s, &mcp.Tool{Name: "count"}, func(_ context.Context, r *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
		now := n.Add(1)
		_ = r.Session.NotifyProgress(context.Background(), &mcp.ProgressNotificationParams{ProgressToken: "n", Progress: float64(now)})
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: fmt.Sprint(name, " ", now)}}}, nil, nil
	})
	return s
}

// gate starts a gate of the fleet, and returns once it is ready.
func (f *fleet) gate() *daemon {
	f.t.Helper()
	d := f.start()
	f.ready(d.addr)
	return d
}

// other is a token of another user.
func (f *fleet) other() string {
	f.t.Helper()
	token, err := f.entra.Issue(entratest.Grant{Client: testClient, Audience: apiOne, Scopes: []string{"access_as_user"},
		User: &entratest.User{ObjectID: "0a1b2c3d-0000-4000-8000-0000000000bb", Username: "v@corp.example", Name: "V"}})
	must(f.t, err)
	return token
}

// tcpFront is a port of the test's own that leads to what dial returns for each
// connection.
type tcpFront struct {
	addr  string
	dial  func() (net.Conn, error)
	all   sync.WaitGroup
	mu    sync.Mutex
	conns map[net.Conn]bool // nil: it is closed
}

func newTCPFront(t testing.TB, dial func() (net.Conn, error)) *tcpFront {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	f := &tcpFront{addr: l.Addr().String(), dial: dial, conns: map[net.Conn]bool{}}
	f.all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.all.Go(func() { f.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		f.mu.Lock()
		for c := range f.conns {
			c.Close()
		}
		f.conns = nil
		f.mu.Unlock()
		f.all.Wait()
	})
	return f
}

// keep has c closed at the end; false if that has come.
func (f *tcpFront) keep(c net.Conn, on bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conns == nil {
		return false
	}
	if f.conns[c] = on; !on {
		delete(f.conns, c)
	}
	return true
}

func (f *tcpFront) serve(down net.Conn) {
	defer down.Close()
	up, err := f.dial()
	if err != nil {
		return
	}
	defer up.Close()
	if !f.keep(down, true) || !f.keep(up, true) {
		return
	}
	defer f.keep(down, false)
	defer f.keep(up, false)
	var both sync.WaitGroup
	both.Go(func() { passOn(up, down) })
	both.Go(func() { passOn(down, up) })
	both.Wait()
}

// passOn passes on one direction, and its end.
func passOn(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	_ = to.(interface{ CloseWrite() error }).CloseWrite()
}

// balancer looks at connections alone, as a Service of Kubernetes does: each goes to
// a gate that is ready, or to the next where nobody listens any more.
type balancer struct {
	*tcpFront
	dials sync.RWMutex // held by each for reading
	mu    sync.Mutex
	gates []string
	next  int
}

func (f *fleet) balance(gates ...string) *balancer {
	f.t.Helper()
	b := &balancer{gates: gates}
	probes := f.client("") // its address is of each request
	probes.Transport.(*http.Transport).DialContext = nil
	probes.Transport.(*http.Transport).TLSClientConfig.ServerName = gateHost
	b.tcpFront = newTCPFront(f.t, func() (net.Conn, error) {
		b.dials.RLock()
		defer b.dials.RUnlock()
		for _, at := range b.turn() {
			if !answersReady(probes, at) {
				continue
			}
			if c, err := net.Dial("tcp", at); err == nil {
				return c, nil
			}
		}
		return nil, io.EOF
	})
	return b
}

func answersReady(c *http.Client, at string) bool {
	res, err := c.Get("https://" + at + "/readyz")
	if err != nil {
		return false
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode == http.StatusOK
}

// settle returns once no connection is made by what was known of the gates before.
func (b *balancer) settle() {
	b.dials.Lock()
	defer b.dials.Unlock()
}

func (b *balancer) add(gate string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gates = append(b.gates, gate)
}

// turn returns the gates in the order in which they are to be asked.
func (b *balancer) turn() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next++
	i := b.next % len(b.gates)
	return append(append([]string{}, b.gates[i:]...), b.gates[:i]...)
}

// fleetStore is a Redis behind a port that stays the test's while it is killed and
// begun again.
type fleetStore struct {
	t     testing.TB
	front *tcpFront
	args  []string
	cmd   *exec.Cmd
	all   sync.WaitGroup

	watched func() // see notOutlive
}

func newFleetStore(t testing.TB) *fleetStore {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		absent(t, "redis-server is not installed")
	}
	dir, err := os.MkdirTemp("", "redis") // short: the path of a socket is, too
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	s := &fleetStore{t: t, args: []string{program, "--port", "0", "--unixsocket", socket, "--dir", dir, "--save", "", "--appendonly", "yes", "--appendfsync", "always"}}
	s.run()
	t.Cleanup(func() {
		s.kill()
		s.all.Wait()
	})
	s.front = newTCPFront(t, func() (net.Conn, error) { return net.Dial("unix", socket) })
	return s
}

// run begins the process, and returns once it answers.
func (s *fleetStore) run() {
	s.t.Helper()
	s.cmd = exec.Command(s.args[0], s.args[1:]...)
	out, err := s.cmd.StdoutPipe()
	must(s.t, err)
	must(s.t, s.cmd.Start())
	s.watched = notOutlive(s.t, s.cmd)
	said := ""
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if said += lines.Text() + "\n"; strings.Contains(lines.Text(), "eady to accept connections") {
			s.all.Go(func() { _, _ = io.Copy(io.Discard, out) })
			return
		}
	}
	s.t.Fatalf("redis does not start:\n%s", said)
}

// kill ends the process as a crash does.
func (s *fleetStore) kill() {
	s.watched()
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// notOutlive has the process of cmd end with that of the test, also where that is killed
// or runs out of time. It returns what ends the watch.
func notOutlive(t testing.TB, cmd *exec.Cmd) (end func()) {
	t.Helper()
	watch := exec.Command("sh", "-c", fmt.Sprint("read _; kill -9 ", cmd.Process.Pid))
	_, err := watch.StdinPipe() // is closed when the test's process is no more
	must(t, err)
	must(t, watch.Start())
	return func() {
		_ = watch.Process.Kill()
		_ = watch.Wait()
	}
}
