package e2e_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// TestTenThousandTunnels: one after the other or many at once, left in whatever
// way, they leave nothing behind.
func TestTenThousandTunnels(t *testing.T) {
	thorough(t)
	t.Parallel()
	const n, first = 10000, 1000
	l := newLoad(t, "1s")
	l.tunnels(first)
	before, err := l.rested(vitals{goroutines: 1 << 20, descriptors: 1 << 20, heap: 1 << 40})
	if err != nil {
		t.Fatal(err)
	}
	l.tunnels(n - first)
	before.heap += 2 << 20
	after, err := l.rested(before)
	if err != nil {
		t.Errorf("afterwards: %v", err)
	}
	t.Logf("after %d: %v; after %d: %v", first, before, n, after)
}

// tunnels opens and closes n of them, many at a time.
func (l *load) tunnels(n int) {
	l.t.Helper()
	things := make([]func() error, n)
	for i := range things {
		things[i] = func() error { return l.tunnel(i) }
	}
	if err := shared(64, things); err != nil {
		l.t.Fatal(err)
	}
}

// tunnel sends a line through a tunnel of its own and back, and leaves it by
// an end, by a reset, or by an end that waits for the server's.
func (l *load) tunnel(i int) error {
	conn, err := net.Dial("tcp", l.p.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	c := conn.(*net.TCPConn)
	c.SetDeadline(time.Now().Add(guardTime))
	fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", l.echo)
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("tunnel %d: %s", i, res.Status)
	}
	fmt.Fprintf(c, "line %d\n", i)
	line, err := r.ReadString('\n')
	if err != nil || line != fmt.Sprintf("line %d\n", i) {
		return fmt.Errorf("tunnel %d: %q, %w", i, line, err)
	}
	switch i % 3 {
	case 0:
		c.SetLinger(0)
	case 1:
		c.CloseWrite()
		if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
			return fmt.Errorf("tunnel %d ends with %q, %w", i, rest, err)
		}
	}
	return nil
}
