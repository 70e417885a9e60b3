package e2e_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
)

// door is a port of localhost for clients that speak plain HTTP and send what
// they like, byte by byte. What they say goes through the proxy, in TLS; the
// proxy finds the server at the same port, for it speaks TLS. So the authority
// is one and the same all the way.
type door struct {
	host   string // localhost, and its port
	server string // address
	proxy  string // address
	roots  *x509.CertPool
	ready  chan struct{} // closed when proxy and roots are what they will be
	over   chan struct{} // closed at the end

	all   sync.WaitGroup
	mu    sync.Mutex
	conns []net.Conn
}

func newDoor(t *testing.T, server string) *door {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	d := &door{host: "localhost:" + port, server: server, roots: x509.NewCertPool(), ready: make(chan struct{}), over: make(chan struct{})}
	d.all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			d.all.Go(func() { d.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		close(d.over)
		d.closeAll()
		d.all.Wait()
	})
	return d
}

// through has everybody go through p, who waits for that.
func (d *door) through(t *testing.T, p *serving) {
	t.Helper()
	root, err := os.ReadFile(p.root())
	if err != nil || !d.roots.AppendCertsFromPEM(root) {
		t.Fatalf("no root: %v", err)
	}
	d.proxy = p.address
	close(d.ready)
}

func (d *door) serve(down net.Conn) {
	defer d.track(down)()
	r := bufio.NewReader(down)
	first, err := r.Peek(1)
	if err != nil {
		return
	}
	var up net.Conn
	if first[0] == handshake {
		up, err = net.Dial("tcp", d.server)
	} else {
		up, err = d.connect()
	}
	if err != nil {
		return
	}
	defer d.track(up)()
	d.all.Go(func() {
		io.Copy(up, r)
		up.(interface{ CloseWrite() error }).CloseWrite()
	})
	io.Copy(down, up)
}

const handshake = 22 // the first byte of TLS, RFC 8446 section 5.1

// connect returns a connection to the server through the proxy.
func (d *door) connect() (net.Conn, error) {
	select {
	case <-d.ready:
	case <-d.over:
		return nil, net.ErrClosed
	}
	c, err := net.Dial("tcp", d.proxy)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(c, "CONNECT %[1]s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", d.host)
	res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: http.MethodConnect})
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("CONNECT: %s", res.Status)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return tls.Client(c, &tls.Config{ServerName: "localhost", RootCAs: d.roots}), nil
}

// track has c closed at the end of the test, or by the function it returns.
func (d *door) track(c net.Conn) (done func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conns = append(d.conns, c)
	return func() { c.Close() }
}

func (d *door) closeAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.conns {
		c.Close()
	}
}
