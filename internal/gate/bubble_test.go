package gate

import (
	"context"
	"net"
	"net/http"
	"testing"
)

// pipes is a network in memory, as a bubble needs one: what connects is accepted.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan net.Conn), make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// dial connects, wherever to.
func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// inside serves a gate of mcp.example in a bubble, in front of an upstream that
// speaks HTTP/1.1, and HTTP/2 in the clear. Time passes there only while all wait
// for it, so that no machine is too slow for what a test expects by a time.
func inside(t *testing.T, o Options, upstream http.HandlerFunc) *front {
	t.Helper()
	f := open(t, o, "mcp.example", nobody)
	back := &http.Server{Handler: upstream, Protocols: new(http.Protocols), ErrorLog: discard()}
	back.Protocols.SetHTTP1(true)
	back.Protocols.SetUnencryptedHTTP2(true)
	between, before := newPipes(), newPipes()
	for _, r := range f.routes {
		for _, u := range r.upstreams {
			u.transport.DialContext = between.dial
		}
	}
	f.client.Transport.(*http.Transport).DialContext = before.dial
	served := make(chan error, 2)
	go func() { served <- back.Serve(between) }()
	go func() { served <- f.Serve(before) }()
	t.Cleanup(func() {
		f.client.CloseIdleConnections()
		_ = f.Shutdown(context.Background())
		back.Close()
		<-served
		<-served
	})
	return f
}
