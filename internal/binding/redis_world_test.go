package binding

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// store is a Redis of the test's own, behind a port that stays the test's while
// it is killed and begun again.
type store struct {
	socket  string
	args    []string
	url     string
	came    chan struct{} // has an element for each connection that came, up to a number
	gone    chan struct{} // likewise, that is closed
	cmd     *exec.Cmd
	watched func()         // see notOutlive
	all     sync.WaitGroup // what passes bytes on
	lost    atomic.Int32   // how often it has lost all connections
}

// begin runs a Redis with args until the test's end. What connects by TLS is
// served if there is a config for it.
func begin(t testing.TB, secure *tls.Config, args ...string) *store {
	t.Helper()
	dir, err := os.MkdirTemp("", "redis") // short: the path of a socket is, too
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &store{socket: filepath.Join(dir, "s"), came: make(chan struct{}, 100), gone: make(chan struct{}, 100)}
	s.args = append([]string{program(t), "--port", "0", "--unixsocket", s.socket, "--dir", dir, "--save", "", "--appendonly", "no"}, args...)
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.url = "redis://" + front.Addr().String()
	if secure != nil {
		s.url = "rediss://" + front.Addr().String()
		front = tls.NewListener(front, secure)
	}
	s.all.Go(func() { s.serve(front) })
	s.run(t)
	t.Cleanup(func() {
		front.Close()
		s.kill()
		s.all.Wait()
	})
	return s
}

// serve passes on what connects.
func (s *store) serve(front net.Listener) {
	for {
		client, err := front.Accept()
		if err != nil {
			return
		}
		tell(s.came)
		s.all.Go(func() {
			defer tell(s.gone)
			defer client.Close()
			server, err := net.Dial("unix", s.socket)
			if err != nil {
				return
			}
			defer server.Close()
			born := s.lost.Load()
			s.all.Go(func() {
				_, _ = io.Copy(way{server, s, born}, client)
				server.Close()
			})
			_, _ = io.Copy(way{client, s, born}, server)
		})
	}
}

// lose has all connections there are lead nowhere, as where a node has gone or a
// firewall has forgotten them: nobody is told.
func (s *store) lose() { s.lost.Add(1) }

// way is a direction of a connection.
type way struct {
	io.Writer
	of   *store
	born int32 // lost, when it was made
}

// Write implements io.Writer.
func (w way) Write(b []byte) (int, error) {
	if w.of.lost.Load() != w.born {
		return len(b), nil
	}
	return w.Writer.Write(b)
}

func tell(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // nobody asks
	}
}

// run begins the process, and waits until it takes connections.
func (s *store) run(t testing.TB) {
	t.Helper()
	s.cmd = exec.Command(s.args[0], s.args[1:]...)
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.watched = notOutlive(t, s.cmd)
	said := ""
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if said += lines.Text() + "\n"; strings.Contains(lines.Text(), "eady to accept connections") {
			s.all.Go(func() { _, _ = io.Copy(io.Discard, out) })
			return
		}
	}
	t.Fatalf("redis does not start:\n%s", said)
}

// kill ends the process as a crash does.
func (s *store) kill() {
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
	if err == nil {
		err = watch.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		_ = watch.Process.Kill()
		_ = watch.Wait()
	}
}

// table is a Table in s, as a gate has it. It asks a Redis that has not answered
// again at once, and waits for as long as a slow machine needs.
func (s *store) table(t testing.TB, change ...func(*RedisOptions)) *Redis {
	t.Helper()
	o := RedisOptions{URL: s.url, Prefix: "gate.example", wait: time.Minute}
	for _, c := range change {
		c(&o)
	}
	r, err := NewRedis(o)
	if err != nil {
		t.Fatal(err)
	}
	r.pulse.pause = 0
	t.Cleanup(func() { r.Close() })
	return r
}

// raw speaks to s without a Table.
func (s *store) raw(t testing.TB) *redis.Client {
	c := redis.NewClient(&redis.Options{Network: "unix", Addr: s.socket, Protocol: 2})
	t.Cleanup(func() { c.Close() })
	return c
}

// keys are all that are in s.
func (s *store) keys(t testing.TB) []string {
	t.Helper()
	all, err := s.raw(t).Keys(context.Background(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	return all
}
