package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
)

// prefixConn is a connection of which some bytes have been read already: those
// a client sent behind its CONNECT, or behind the header of an upgrade,
// without waiting for the answer.
type prefixConn struct {
	net.Conn
	prefix []byte
}

func (c *prefixConn) Read(p []byte) (int, error) {
	if len(c.prefix) > 0 {
		n := copy(p, c.prefix)
		c.prefix = c.prefix[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// CloseWrite closes the write side, where the connection has one.
func (c *prefixConn) CloseWrite() error { return closeWrite(c.Conn) }

// closeWrite ends the write side of c, or all of it where there is no
// half-close.
func closeWrite(c net.Conn) error {
	if h, ok := c.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return c.Close()
}

// abort closes c in a way that its peer can tell from the end of a stream.
func abort(c net.Conn) {
	for {
		switch u := c.(type) {
		case *tls.Conn:
			c = u.NetConn() // without the alert that says that all was sent
		case *prefixConn:
			c = u.Conn
		case *pinnedConn:
			c = u.Conn
		case *http1Conn:
			c = u.Conn
		default:
			if t, ok := c.(interface{ SetLinger(int) error }); ok {
				t.SetLinger(0) // Close sends RST
			}
			c.Close()
			return
		}
	}
}

// hijack takes the connection of w over, with the bytes that were read from
// it but not consumed. What it returns is the plainest connection there is:
// between two TCP connections the kernel can copy by itself.
func hijack(w http.ResponseWriter) (net.Conn, error) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	var ahead []byte
	if c, ok := conn.(*http1Conn); ok {
		conn, ahead = c.takenOver()
	}
	n := buffered.Reader.Buffered()
	if n+len(ahead) == 0 {
		return conn, nil
	}
	prefix, err := buffered.Reader.Peek(n)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &prefixConn{Conn: conn, prefix: append(bytes.Clone(prefix), ahead...)}, nil
}

// pinnedConn is a client's connection inside a CONNECT: whatever the client
// says there must be meant for authority.
type pinnedConn struct {
	net.Conn
	connect
	host string  // the host part of its authority, without brackets
	tail [7]byte // the last bytes read
}

// Read implements net.Conn.
func (c *pinnedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	last := p[max(0, n-len(c.tail)):n]
	copy(c.tail[:], c.tail[len(last):])
	copy(c.tail[len(c.tail)-len(last):], last)
	return n, err
}

// refused reports whether the client's last word was an alert in the clear
// that refuses a certificate (RFC 8446, section 6.2). OpenSSL sends it so in
// TLS 1.3, where crypto/tls awaits it encrypted and sees garbage.
func (c *pinnedConn) refused() bool {
	const badCertificate, unknownCA, accessDenied = 42, 48, 49
	fatal := c.tail[0] == 21 && c.tail[1] == 3 && c.tail[3] == 0 && c.tail[4] == 2 && c.tail[5] == 2
	alert := c.tail[6]
	return fatal && (alert >= badCertificate && alert < 47 || alert == unknownCA || alert == accessDenied)
}

// pinned returns the pinnedConn below a connection of the inner server.
func pinned(c net.Conn) *pinnedConn {
	switch c := c.(type) {
	case *tls.Conn:
		p, _ := c.NetConn().(*pinnedConn)
		return p
	case *http1Conn:
		return pinned(c.Conn)
	case *pinnedConn:
		return c
	}
	return nil
}

// connListener hands connections that were accepted elsewhere to an
// http.Server. Those still queued when it closes are closed.
type connListener struct {
	conns chan net.Conn
	open  context.Context // ends when the listener closes
	close context.CancelFunc
	addr  net.Addr
}

func newConnListener(addr net.Addr) *connListener {
	l := &connListener{conns: make(chan net.Conn), addr: addr}
	l.open, l.close = context.WithCancel(context.Background())
	return l
}

var errListenerClosed = errors.New("listener closed")

// Accept implements net.Listener.
func (l *connListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.open.Done():
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *connListener) Close() error {
	l.close()
	return nil
}

// Addr implements net.Listener.
func (l *connListener) Addr() net.Addr { return l.addr }

// put hands c over; c is closed if the listener is.
func (l *connListener) put(c net.Conn) error {
	select {
	case l.conns <- c: // unbuffered: taken means accepted
		return nil
	case <-l.open.Done():
		c.Close()
		return errListenerClosed
	}
}
