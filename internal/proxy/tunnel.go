package proxy

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
)

// Hijack implements [http.Hijacker].
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, err := hijack(h.ResponseWriter)
	return c, nil, err
}

const established = "HTTP/1.1 200 Connection established\r\n\r\n"

// tunnel copies bytes between client and the authority of a CONNECT until
// both directions have ended. It never closes for idleness: what is inside is
// not its business.
func (p *Proxy) tunnel(r *http.Request, client net.Conn) {
	defer client.Close()
	remove, ok := p.hijacks.add(client)
	if !ok {
		return
	}
	defer remove()
	authority := connectFrom(r.Context()).authority
	// The request's context ends when the client has sent its last byte,
	// which says nothing of what it still wants to receive.
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	defer cancel()
	defer context.AfterFunc(p.base, cancel)()
	upstream, err := p.o.Dialer.Dial(ctx, authority)
	if err != nil {
		p.tunnelled(false)
		a := answerFor(err, authority)
		p.o.Log.Info("tunnel refused", "authority", authority, "status", a.Status, "problem", a.Error())
		client.Write(a.closing())
		return
	}
	defer upstream.Close()
	removeUpstream, ok := p.hijacks.add(upstream)
	if !ok {
		return
	}
	defer removeUpstream()
	if _, err := io.WriteString(client, established); err != nil {
		return
	}
	p.o.Log.Debug("tunnel", "authority", authority)
	var up, down, early int64
	ended := p.tunnelled(true)
	defer func() { ended(early+up, down) }()
	client, early, err = forwardPrefix(upstream, client)
	if err != nil {
		abort(client)
		return
	}
	var both sync.WaitGroup
	both.Go(func() { up = copyHalf(upstream, client) })
	down = copyHalf(client, upstream)
	both.Wait()
}

// tunnelled tells of a tunnel, if anybody wants to know.
func (p *Proxy) tunnelled(made bool) (ended func(up, down int64)) {
	if p.o.Tunnel != nil {
		ended = p.o.Tunnel(made)
	}
	if ended == nil {
		ended = func(int64, int64) {}
	}
	return ended
}

// forwardPrefix sends upstream what the client sent too early and returns the
// bare connection of the client.
func forwardPrefix(upstream, client net.Conn) (bare net.Conn, sent int64, err error) {
	c, ok := client.(*prefixConn)
	if !ok {
		return client, 0, nil
	}
	n, err := upstream.Write(c.prefix)
	return c.Conn, int64(n), err
}

// copyHalf copies one direction and passes its end on. After an error nothing
// more can arrive in that direction, and the other one is cut too: a peer
// must not take a broken stream for a finished one.
func copyHalf(dst, src net.Conn) (copied int64) {
	copied, err := io.Copy(dst, src)
	if err != nil {
		abort(dst)
		abort(src)
		return copied
	}
	closeWrite(dst)
	return copied
}
