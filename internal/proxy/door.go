// Package proxy is the door of injectproxy: a forward proxy that tunnels what
// no rule names, ends TLS for what a rule names, and hands each request inside
// to the route that the rules choose. It knows nothing of tokens: a route is
// an [http.RoundTripper].
//
// It refuses requests inside a CONNECT that are meant for another authority,
// destinations that hand out credentials of the machine, and clients that may
// not use the port. Its own answers are [Answer] values.
package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/elazarl/goproxy"

	"github.com/injectproxy/injectproxy/internal/match"
	"github.com/injectproxy/injectproxy/internal/record"
)

// Route is the live chain of one rule.
type Route struct {
	http.RoundTripper
	Name, Team, Kind string // for the record of each request
}

// Options are what a Proxy needs. Dialer, Upstream, Leaf and Log are
// required.
type Options struct {
	Dialer   *Dialer
	Upstream http.RoundTripper // for intercepted requests that no rule covers

	// Leaf returns the certificate for a host (a name, or an address without
	// brackets) that a rule names.
	Leaf func(host string) (*tls.Certificate, error)

	// Admit is called for each connection that the door accepts. What it
	// returns judges each request of that connection by the values of its
	// Proxy-Authorization fields: nil admits it, an error says why not, in
	// words that may be shown to the client. The name is that of a client that
	// is confined to some rules, "" for the others. A nil Admit admits nobody.
	Admit func(net.Conn) func(proxyAuthorization []string) (client string, err error)

	RulesOnly bool   // reach no authority that no rule names, or none of a named client's
	TrustHint string // what to tell a client's user who does not trust the CA

	Log      *slog.Logger
	ErrorLog *log.Logger // for net/http and goproxy

	// What happens to each intercepted request is told in this order: Began, with
	// its header, once its rule is known or that it has none; Answered when the
	// header of its final answer goes downstream, unless the client leaves before;
	// Done at its end. Any may be nil. They are called by the goroutine that serves
	// the request, which waits, and may not change the header or keep it.
	Began          func(*record.Record, http.Header)
	Answered, Done func(*record.Record)

	// Tunnel is called for each CONNECT to an authority that no rule names, once
	// its tunnel stands or could not be made, which made says. What it returns is
	// called when a tunnel that was made has ended, with the bytes that went
	// upstream and downstream. Tunnel may be nil.
	Tunnel func(made bool) (ended func(up, down int64))

	// Distrusted is called when a client refuses the certificate for an
	// authority. It may be nil.
	Distrusted func(authority string)

	limits limits // tests shorten them
}

// Proxy is a forward proxy. Make one with [New], give it rules, and let it
// serve listeners. Its methods may be called concurrently.
type Proxy struct {
	o       Options
	rules   atomic.Pointer[reign]
	door    *http.Server
	goproxy *goproxy.ProxyHttpServer
	inner   *http.Server // for what comes out of interception
	handoff *connListener
	tls     *tls.Config
	plain   *plainUpstream // for http:// requests
	hijacks registry
	running sync.WaitGroup // the inner server
	base    context.Context
	cut     context.CancelFunc // ends base, and with it the context of every request
}

// New returns a Proxy without rules: it tunnels everything until
// [Proxy.SetRules] is called.
func New(o Options) (*Proxy, error) {
	if o.ErrorLog == nil {
		o.ErrorLog = slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug)
	}
	if o.Admit == nil {
		o.Admit = nobody
	}
	table, err := match.NewTable(nil)
	if err != nil {
		return nil, err
	}
	o.limits = o.limits.orDefaults()
	p := &Proxy{o: o, handoff: newConnListener(&net.TCPAddr{})}
	p.base, p.cut = context.WithCancel(context.Background())
	p.SetRules(&Rules{Table: table})
	p.goproxy = p.newGoproxy()
	p.tls = p.newTLSConfig()
	p.plain = newPlainUpstream(p.o.Dialer)
	p.door = p.newServer(p.serveDoor)
	p.door.ConnContext = p.withPeer
	p.inner = p.newServer(p.serveIntercepted)
	p.inner.TLSConfig = p.tls // tells net/http to speak HTTP/2; the handshake is ours
	p.inner.ConnContext = withPinned
	p.inner.HTTP2 = &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second}
	p.running.Go(func() { p.inner.Serve(p.handoff) })
	return p, nil
}

func (p *Proxy) newServer(h http.HandlerFunc) *http.Server {
	return &http.Server{
		Handler:                      p.counted(h),
		BaseContext:                  func(net.Listener) context.Context { return p.base },
		ConnState:                    idle,
		ReadHeaderTimeout:            p.o.limits.header,
		IdleTimeout:                  p.o.limits.idle,
		MaxHeaderBytes:               maxHeaderBytes,
		ErrorLog:                     p.o.ErrorLog,
		DisableGeneralOptionsHandler: true,
	}
}

// newGoproxy returns the part that answers CONNECT. It decides by its
// conditions and gives every connection away; its own interception, tunnels
// and dialling are never reached.
func (p *Proxy) newGoproxy() *goproxy.ProxyHttpServer {
	g := goproxy.NewProxyHttpServer()
	g.Logger = p.o.ErrorLog
	g.ConnectDial = nil // drops what the constructor read from the environment
	g.Tr = &http.Transport{Proxy: nil, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("goproxy does not dial here")
	}}
	named := goproxy.ReqConditionFunc(func(r *http.Request, _ *goproxy.ProxyCtx) bool {
		return connectFrom(r.Context()).named
	})
	g.OnRequest(named).HijackConnect(func(r *http.Request, c net.Conn, _ *goproxy.ProxyCtx) { p.intercept(r, c) })
	g.OnRequest().HijackConnect(func(r *http.Request, c net.Conn, _ *goproxy.ProxyCtx) { p.tunnel(r, c) })
	return g
}

// Serve accepts clients on l until [Proxy.Shutdown], then returns
// [http.ErrServerClosed]. It owns l.
func (p *Proxy) Serve(l net.Listener) error {
	return p.door.Serve(&doorListener{l})
}

// doorListener wraps what it accepts for the answers of [http1Conn].
type doorListener struct{ net.Listener }

func (l *doorListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if t, ok := c.(*net.TCPConn); ok {
		t.SetKeepAliveConfig(keepAlive)
		if raw, err := t.SyscallConn(); err == nil {
			boundRetransmission(raw)
		}
	}
	return &http1Conn{Conn: c}, nil
}
