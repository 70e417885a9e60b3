package proxy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/injectproxy/injectproxy/internal/record"
)

// servePlain forwards an http:// request: as it is, and never with a token. Its
// target decides where to, as RFC 9112, section 3.2.2 has it.
func (p *Proxy) servePlain(w http.ResponseWriter, r *http.Request) {
	if strings.Contains(r.RequestURI, "#") { // no target has a fragment: RFC 9112, section 3.2
		refuse(w, r, malformedRequest("Its target has a fragment."))
		return
	}
	x := &exchange{route: p.plain, upstream: r.URL.Host, host: r.URL.Host, url: *r.URL}
	p.forward(r.Context(), p.newResponse(w, r, new(record.Record)), r, x)
}

// plainUpstream sends http:// requests: directly, or in absolute form to the
// upstream proxy. The two are apart because what may be dialled differs.
type plainUpstream struct {
	dialer          *Dialer
	direct, proxied *http.Transport
}

func newPlainUpstream(d *Dialer) *plainUpstream {
	u := &plainUpstream{dialer: d, direct: newTransport(d, d.o.TLS, false), proxied: newTransport(d, d.o.TLS, false)}
	u.direct.DialContext = d.screened(d.screenUpstream)
	u.proxied.DialContext = d.screened(d.screenProxy)
	u.proxied.Proxy = func(r *http.Request) (*url.URL, error) { return d.o.Proxy(r.URL) }
	return u
}

// RoundTrip implements [http.RoundTripper].
func (u *plainUpstream) RoundTrip(r *http.Request) (*http.Response, error) {
	via, err := u.dialer.o.Proxy(r.URL)
	if err != nil {
		return nil, misconfiguredProxy(err)
	}
	if via == nil {
		return u.direct.RoundTrip(r)
	}
	authority := r.URL.Host
	if r.URL.Port() == "" {
		authority = net.JoinHostPort(r.URL.Hostname(), "80")
	}
	if err := u.dialer.screenLiteral(authority); err != nil {
		return nil, err
	}
	return u.through(r, via)
}

// through sends r to the upstream proxy via. What that proxy says of itself is
// not the upstream's answer: to a 407 the client would give its credential for
// this proxy.
func (u *plainUpstream) through(r *http.Request, via *url.URL) (*http.Response, error) {
	out := *r
	out.Header = r.Header.Clone()
	out.Header.Set("Via", u.dialer.chain(r))
	res, err := u.proxied.RoundTrip(&out)
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "proxyconnect" {
		return nil, proxyUnreachable(e.Err, via)
	}
	if err != nil {
		return nil, err
	}
	if res.StatusCode == http.StatusProxyAuthRequired || res.StatusCode == http.StatusBadGateway && saysLoop(res) {
		res.Body.Close()
		return nil, proxyRefused(res, via, r.Method+" "+r.URL.Host)
	}
	return res, nil
}

// CloseIdleConnections closes connections that carry no request.
func (u *plainUpstream) CloseIdleConnections() {
	u.direct.CloseIdleConnections()
	u.proxied.CloseIdleConnections()
}

// screened returns a dial function that lets screen judge each address.
func (d *Dialer) screened(screen func(netip.AddrPort) error) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, connectTimeout)
		defer cancel()
		return d.direct(ctx, addr, screen)
	}
}
