package access

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// dialVar makes the test binary a client: it dials the address in it, from
// the address in fromVar if there is one, says so, and hangs up when told to.
// "self" makes it listen, dial itself, and say whether it is admitted.
const (
	dialVar = "ACCESS_TEST_DIAL"
	fromVar = "ACCESS_TEST_FROM"
)

func TestMain(m *testing.M) {
	switch addr := os.Getenv(dialVar); addr {
	case "":
	case "self":
		os.Exit(dialSelf())
	default:
		os.Exit(client(addr, os.Getenv(fromVar)))
	}
	goleak.VerifyTestMain(m)
}

func client(addr, from string) int {
	var d net.Dialer
	if from != "" {
		local, err := net.ResolveTCPAddr("tcp", from)
		if err != nil {
			fmt.Println(err)
			return 1
		}
		d.LocalAddr = local
	}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("connected")
	in := bufio.NewScanner(os.Stdin)
	in.Scan()
	c.Close()
	fmt.Println("closed")
	in.Scan()
	return 0
}

func dialSelf() int {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	if _, err := net.Dial("tcp4", l.Addr().String()); err != nil {
		fmt.Println(err)
		return 1
	}
	server, err := l.Accept()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("admitted:", new(Policy).Peer(server).Admit(nil))
	return 0
}

// listen returns a listener on loopback, closed with the test.
func listen(t *testing.T, network, addr string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, addr)
	if err != nil {
		missing(t, "cannot listen on %s %s: %v", network, addr, err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// accept returns the next connection, closed with the test.
func accept(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// dial connects to l as this process, from the given address if there is one,
// and returns both ends.
func dial(t *testing.T, l net.Listener, addr string, from net.Addr) (client, server net.Conn) {
	t.Helper()
	d := net.Dialer{LocalAddr: from}
	client, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client, accept(t, l)
}

// dialAsNobody connects to l as uid 65534 and returns this side of the
// connection and a function that makes the client close its side.
func dialAsNobody(t *testing.T, l net.Listener, addr, from string) (server net.Conn, hangUp func()) {
	t.Helper()
	cmd := asUser(t, nobody, addr, from)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close(); cmd.Wait() })
	out := bufio.NewScanner(stdout)
	if out.Scan(); out.Text() != "connected" {
		t.Fatalf("client as another user: %q", out.Text())
	}
	return accept(t, l), func() {
		fmt.Fprintln(stdin)
		if out.Scan(); out.Text() != "closed" {
			t.Fatalf("client as another user: %q", out.Text())
		}
	}
}

// missing skips the test, or fails it where everything has to be present.
func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("INJECTPROXY_REQUIRE_ALL") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// asUser returns the command that runs this binary as a client of the given
// user.
func asUser(t *testing.T, uid uint32, addr, from string) *exec.Cmd {
	t.Helper()
	if os.Getuid() != 0 {
		missing(t, "running a client as another user needs root")
	}
	// By this name the other user needs no way through the directories that
	// lead to the binary.
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), dialVar+"="+addr, fromVar+"="+from, "GORACE=atexit_sleep_ms=0")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	return cmd
}
