package proxy

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
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

// hijack takes the connection of w over, with the bytes that were read from
// it but not consumed. What it returns is the plainest connection there is:
// between two TCP connections the kernel can copy by itself.
func hijack(w http.ResponseWriter) (net.Conn, error) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	if c, ok := conn.(*http1Conn); ok {
		conn = c.Conn
	}
	n := buffered.Reader.Buffered()
	if n == 0 {
		return conn, nil
	}
	prefix, err := buffered.Reader.Peek(n)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &prefixConn{Conn: conn, prefix: bytes.Clone(prefix)}, nil
}

// pinnedConn is a client's connection inside a CONNECT: whatever the client
// says there must be meant for authority.
type pinnedConn struct {
	net.Conn
	authority string // canonical host:port of the CONNECT
	host      string // its host part, without brackets
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
	done  chan struct{}
	once  sync.Once
	addr  net.Addr
}

func newConnListener(addr net.Addr) *connListener {
	return &connListener{conns: make(chan net.Conn), done: make(chan struct{}), addr: addr}
}

var errListenerClosed = errors.New("listener closed")

// Accept implements net.Listener.
func (l *connListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *connListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr implements net.Listener.
func (l *connListener) Addr() net.Addr { return l.addr }

// put hands c over; c is closed if the listener is.
func (l *connListener) put(c net.Conn) error {
	select {
	case l.conns <- c: // unbuffered: taken means accepted
		return nil
	case <-l.done:
		c.Close()
		return errListenerClosed
	}
}
