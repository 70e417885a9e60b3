package proxy

import (
	"cmp"
	"context"
	"net/http"
	"sync"
)

// Shutdown stops accepting, lets requests, streams and tunnels in flight end,
// and cuts those that are left when ctx ends; the error is then ctx's. It
// returns when no goroutine of the proxy is left. A second call, also while
// the first one waits, may bring an earlier end.
func (p *Proxy) Shutdown(ctx context.Context) error {
	defer context.AfterFunc(ctx, p.cut)()
	var servers sync.WaitGroup
	var door, inner error
	servers.Go(func() { door = shutdown(ctx, p.door) })
	servers.Go(func() { inner = shutdown(ctx, p.inner) })
	servers.Wait()
	// Only now can no request begin a tunnel or an upgrade any more.
	err := p.hijacks.drain(ctx)
	p.running.Wait()
	p.plain.CloseIdleConnections()
	return cmp.Or(door, inner, err)
}

// shutdown ends s, the hard way once ctx is done.
func shutdown(ctx context.Context, s *http.Server) error {
	err := s.Shutdown(ctx)
	if err != nil {
		s.Close()
	}
	return err
}

// counted runs h for requests that begin before the connections are cut, and
// lets [Proxy.Shutdown] wait for it: http.Server.Close does not, nor for
// handlers that took their connection over.
func (p *Proxy) counted(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !p.hijacks.enter() {
			panic(http.ErrAbortHandler)
		}
		defer p.hijacks.leave()
		if c, ok := r.Context().Value(http1Key{}).(*http1Conn); ok {
			c.busy.Store(true)
			c.begin()
			defer c.release()
		}
		h(w, r)
	}
}
