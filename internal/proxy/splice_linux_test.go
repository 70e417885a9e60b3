package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// childEnv makes TestChild the proxy of another test, in a process whose
// counters show what the proxy alone did. Its value is the URL of the
// upstream proxy, or "direct".
const childEnv = "INJECTPROXY_TEST_CHILD"

func TestChild(t *testing.T) {
	via := os.Getenv(childEnv)
	if via == "" {
		t.Skip("it is the other half of TestTunnelsAreSplicedByTheKernel")
	}
	o := worldOptions{}
	if via != "direct" {
		u, err := url.Parse(via)
		fatal(t, err)
		o.dial.Proxy = always(u)
	}
	fmt.Println("listening", newWorld(t, newOrigins(t), o).addr)
	io.Copy(io.Discard, os.Stdin) // until the parent has had enough
}

// startChild starts a proxy in another process and returns its world, of which
// only connect is of use, and its process id.
func startChild(t *testing.T, via string) (*world, int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestChild$", "-test.v")
	cmd.Env = append(os.Environ(), childEnv+"="+via)
	in, err := cmd.StdinPipe()
	fatal(t, err)
	out, err := cmd.StdoutPipe()
	fatal(t, err)
	fatal(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if addr, ok := strings.CutPrefix(lines.Text(), "listening "); ok {
			return &world{t: t, addr: addr}, cmd.Process.Pid
		}
	}
	t.Fatal("the child said no address")
	return nil, 0
}

// readAndWritten returns how many bytes process pid has passed through
// read and write calls.
func readAndWritten(t *testing.T, pid int) (n int64) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	fatal(t, err)
	for line := range bytes.Lines(b) {
		if k, v, _ := strings.Cut(strings.TrimSpace(string(line)), ": "); k == "rchar" || k == "wchar" {
			one, err := strconv.ParseInt(v, 10, 64)
			fatal(t, err)
			n += one
		}
	}
	return n
}

// TestTunnelsAreSplicedByTheKernel holds that a tunnel's bytes do not pass
// through the proxy's memory, by a counter of the kernel.
func TestTunnelsAreSplicedByTheKernel(t *testing.T) {
	t.Parallel()
	corp := startCorporate(t, newOrigins(t), "http")
	_, port, _ := net.SplitHostPort(corp.url.Host)
	corp.url.Host = "127.0.0.1:" + port
	for name, via := range map[string]string{"directly": "direct", "through an upstream proxy": corp.url.String()} {
		t.Run(name, func(t *testing.T) {
			const size = 64 << 20
			authority := startRaw(t, "127.0.0.1", func(c *net.TCPConn) {
				io.CopyN(io.Discard, c, size)
				io.CopyN(c, zeros{}, size)
			})
			w, pid := startChild(t, via)
			// The bytes of CONNECT's segment are copied; none behind them are.
			c := w.connect(authority, strings.Repeat("x", 1000))
			before := readAndWritten(t, pid)
			if _, err := io.CopyN(c, zeros{}, size-1000); err != nil {
				t.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, c); err != nil || n != size {
				t.Fatalf("received %d bytes, %v", n, err)
			}
			moved := readAndWritten(t, pid) - before
			if moved > size/64 {
				t.Errorf("the proxy itself read and wrote %d bytes for %d", moved, 2*size)
			}
			t.Logf("%d bytes moved, of which the proxy read and wrote %d", 2*size, moved)
		})
	}
}

// zeros is an endless source that costs nothing.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
