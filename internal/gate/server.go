package gate

import (
	"cmp"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	maxHeaderBytes    = 64 << 10
	readHeaderTimeout = 10 * time.Second // from the connection's beginning; also for its TLS handshake
	idleTimeout       = 2 * time.Minute  // between two requests
	mostStreams       = 1000             // at once, of one HTTP/2 connection
	mostStill         = 30 * time.Second // that such a connection may take nothing, and all its streams wait
)

// server is what of a Gate listens.
type server struct {
	http   http.Server
	pair   *pair // nil: in the clear
	doors  listeners
	visits visits
	drain  sync.Once
}

// serverOf sets the server up. There is no limit on the time of an answer: it may
// be a stream.
func (g *Gate) serverOf(o Options) error {
	s := &g.server
	s.http = http.Server{
		Handler:           g,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		Protocols:         new(http.Protocols),
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: mostStreams, WriteByteTimeout: mostStill, SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
		ConnContext:       s.visits.open,
		ConnState:         s.visits.note,
		ErrorLog:          cmp.Or(o.ErrorLog, slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug)),

		DisableGeneralOptionsHandler: true, // it would answer on every host
	}
	s.http.Protocols.SetHTTP1(true)
	if o.TLS.Cert == "" && o.TLS.Key == "" {
		s.http.Protocols.SetUnencryptedHTTP2(true)
		return nil
	}
	pair, err := openPair(o.TLS.Cert, o.TLS.Key, o.Log)
	if err != nil {
		return err
	}
	s.pair = pair
	s.http.Protocols.SetHTTP2(true)
	s.http.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: pair.certificate}
	return nil
}

// Serve serves what connects to l, HTTP/1.1 and HTTP/2, until Shutdown. The error
// is [http.ErrServerClosed] then. It may be called for several listeners.
func (g *Gate) Serve(l net.Listener) error {
	s := &g.server
	l = s.doors.add(l)
	serve := func() error { return s.http.Serve(l) }
	if s.pair != nil {
		serve = func() error { return s.http.ServeTLS(l, "", "") }
	}
	if err := serve(); !s.doors.over() {
		return err
	}
	return http.ErrServerClosed
}

// CertificateExpiry is when the certificate in use ends; zero without TLS.
func (g *Gate) CertificateExpiry() time.Time {
	if g.server.pair == nil {
		return time.Time{}
	}
	return g.server.pair.expires()
}

// Retire is the beginning of the end: the gate is not ready any more, and its answers
// have clients connect anew, wherever that leads them by then. It serves all that
// comes as before.
func (g *Gate) Retire() { g.retired.Store(true) }

// Retired reports whether Retire or Shutdown was called.
func (g *Gate) Retired() bool { return g.retired.Load() }

// Shutdown retires the gate, stops accepting, has held streams end, lets calls in
// flight and upgraded connections go on, and cuts those that are left when ctx ends;
// the error is then ctx's. What comes over a connection that clients may still use is
// served. It returns when no goroutine of the gate is left. A further call, also
// while the first one waits, may bring an earlier end.
func (g *Gate) Shutdown(ctx context.Context) error {
	g.Retire()
	g.server.drain.Do(func() { close(g.draining) })
	g.server.doors.close()
	g.server.visits.leave(ctx)
	err := g.server.http.Shutdown(ctx)
	if err != nil {
		if g.work.rests() {
			err = nil // connections alone are left, whose clients know that they end
		}
		g.server.http.Close()
	}
	err = cmp.Or(err, g.work.drain(ctx))
	for _, r := range g.routes {
		for _, u := range r.upstreams {
			u.transport.CloseIdleConnections()
		}
	}
	return err
}
