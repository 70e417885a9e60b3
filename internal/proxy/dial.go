package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// connectTimeout bounds dialling and, separately, each handshake.
const connectTimeout = 10 * time.Second

// keepAlive finds a dead peer within a minute.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 20 * time.Second, Interval: 10 * time.Second, Count: 3}

// DialOptions say how upstreams are reached.
type DialOptions struct {
	// Proxy returns the upstream proxy for a URL, nil for none. It is asked
	// with https URLs for everything but plain http requests.
	Proxy func(*url.URL) (*url.URL, error)

	// TLS is the configuration towards upstream proxies that speak TLS; its
	// ServerName is set for each.
	TLS *tls.Config

	// Own reports whether an address is one of our own listeners, which are
	// never dialled: neither as an upstream nor as the upstream proxy.
	Own func(netip.AddrPort) bool

	// NoLoopback refuses upstreams on loopback addresses, for an instance
	// that others than this machine's user may use.
	NoLoopback bool

	// Resolve overrides name resolution; nil uses the system's.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
}

// Dialer makes the connections towards upstreams: directly or through the
// upstream proxy, and never to where no request of a client may go. It is
// safe for concurrent use.
type Dialer struct {
	o         DialOptions
	pseudonym string // by which a request that comes back is known
}

// NewDialer returns a Dialer with the given options.
func NewDialer(o DialOptions) *Dialer {
	if o.Proxy == nil {
		o.Proxy = func(*url.URL) (*url.URL, error) { return nil, nil }
	}
	if o.Own == nil {
		o.Own = func(netip.AddrPort) bool { return false }
	}
	return &Dialer{o: o, pseudonym: newPseudonym()}
}

// Dial connects to authority (host:port) for TLS traffic or a tunnel. Through
// an upstream proxy the connection is what remains of its CONNECT, with no
// byte of the upstream consumed. Errors may be an [*Answer].
func (d *Dialer) Dial(ctx context.Context, authority string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	via, err := d.o.Proxy(&url.URL{Scheme: "https", Host: authority})
	if err != nil {
		return nil, misconfiguredProxy(err)
	}
	if via == nil {
		return d.direct(ctx, authority, d.screenUpstream)
	}
	if a := d.screenLiteral(authority); a != nil {
		return nil, a
	}
	return d.through(ctx, via, authority)
}

// direct dials authority and lets screen refuse each address just before the
// connection to it is attempted, so that what was judged is what is dialled.
func (d *Dialer) direct(ctx context.Context, authority string, screen func(netip.AddrPort) error) (net.Conn, error) {
	nd := net.Dialer{
		KeepAliveConfig: keepAlive,
		ControlContext: func(_ context.Context, _, address string, c rawConn) error {
			boundRetransmission(c)
			return screenAddress(address, screen)
		},
	}
	if d.o.Resolve == nil {
		return nd.DialContext(ctx, "tcp", authority)
	}
	host, port, err := net.SplitHostPort(authority)
	if err != nil {
		return nil, err
	}
	addrs, err := d.o.Resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, a := range addrs {
		c, err := nd.DialContext(ctx, "tcp", net.JoinHostPort(a.String(), port))
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// through asks the upstream proxy for a connection to authority.
func (d *Dialer) through(ctx context.Context, via *url.URL, authority string) (net.Conn, error) {
	conn, err := d.toProxy(ctx, via)
	if err != nil {
		return nil, err
	}
	// The handshake below reads and writes without a context: the deadline
	// and the cancellation both come through the connection.
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	err = connectThrough(conn, via, authority, d.chainFrom(ctx))
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// toProxy connects to the upstream proxy itself.
func (d *Dialer) toProxy(ctx context.Context, via *url.URL) (net.Conn, error) {
	conn, err := d.direct(ctx, proxyAddress(via), d.screenProxy)
	if err != nil {
		return nil, proxyUnreachable(err, via)
	}
	if via.Scheme != "https" {
		return conn, nil
	}
	cfg := d.o.TLS.Clone()
	if cfg == nil {
		cfg = new(tls.Config)
	}
	cfg.ServerName, cfg.NextProtos = via.Hostname(), []string{"http/1.1"}
	tc := tls.Client(conn, cfg)
	if err := tc.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, proxyUnreachable(err, via)
	}
	return tc, nil
}

// connectThrough performs the CONNECT. It reads the answer byte by byte: what
// follows it belongs to the upstream, and a raw connection can be spliced
// where a buffered one cannot.
func connectThrough(conn net.Conn, via *url.URL, authority, chain string) error {
	var req strings.Builder
	fmt.Fprintf(&req, "CONNECT %s HTTP/1.1\r\nHost: %s\r\nVia: %s\r\n", authority, authority, chain)
	if u := via.User; u != nil {
		fmt.Fprintf(&req, "Proxy-Authorization: %s\r\n", basicAuth(u))
	}
	req.WriteString("\r\n")
	if _, err := io.WriteString(conn, req.String()); err != nil {
		return proxyUnreachable(err, via)
	}
	res, err := http.ReadResponse(bufio.NewReaderSize(&headReader{r: conn}, 16), &http.Request{Method: http.MethodConnect})
	if err != nil {
		return proxyUnreachable(err, via)
	}
	if res.StatusCode/100 != 2 {
		return proxyRefused(res, via, "CONNECT "+authority)
	}
	return nil
}

// headReader yields an HTTP/1 header and nothing beyond its empty line.
type headReader struct {
	r    io.Reader
	tail [4]byte
	n    int
}

// maxProxyHead bounds the header of an upstream proxy's answer.
const maxProxyHead = 64 << 10

func (h *headReader) Read(p []byte) (int, error) {
	if string(h.tail[:]) == "\r\n\r\n" || string(h.tail[2:]) == "\n\n" || h.n > maxProxyHead {
		return 0, io.EOF
	}
	n, err := h.r.Read(p[:1])
	if n == 1 {
		h.n++
		copy(h.tail[:], h.tail[1:])
		h.tail[3] = p[0]
	}
	return n, err
}

func basicAuth(u *url.Userinfo) string {
	password, _ := u.Password()
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+password))
}

// proxyAddress returns host:port of an upstream proxy's URL.
func proxyAddress(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), firstOf(port, "80"))
}
