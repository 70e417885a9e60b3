package gate

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

const (
	connectTimeout = 10 * time.Second
	// restAfterFailure is how long an upstream that could not be reached is
	// passed over where there are others.
	restAfterFailure = 5 * time.Second
	// goneAfter is how long an upstream has to be out of reach for a gate that shares
	// its sessions to have their clients begin anew at others.
	goneAfter = 30 * time.Second
	// idleUpstream is how long a connection over HTTP/1.1 is kept for the next
	// request. It is shorter than what servers commonly wait before they close it
	// (gunicorn 2 s, Node and uvicorn 5 s): HTTP/1.1 has no way to tell a request
	// that crosses the closing from one that was carried out.
	idleUpstream = 1500 * time.Millisecond
	// idleStreams is the same over HTTP/2, which has (RFC 9113, section 6.8).
	idleStreams = 90 * time.Second
	// streamBuffer is what an upstream may send over HTTP/2 ahead of what the
	// client has taken. It is held for each client that does not read.
	streamBuffer = 128 << 10
)

// upstream is one server of a route, and the connections to it.
type upstream struct {
	url       *url.URL
	transport *http.Transport
	refuses   atomic.Bool // the log has said that it may refuse the clients' Host
	inFlight  atomic.Int64
	streams   atomic.Bool  // it speaks HTTP/2, as far as is known
	failed    atomic.Int64 // when it could not be reached the last time, Unix ns; 0: it could
	away      atomic.Int64 // since when it could not, Unix ns; 0: it could
	trouble   trouble
}

func (g *Gate) upstreams(r Route) (all []*upstream) {
	for _, u := range r.Upstreams {
		one := &upstream{url: u, transport: newTransport(g.o.Upstream, r.Protocol)}
		one.trouble.log = g.o.Log.With("route", r.Path, "upstream", u.Host)
		one.streams.Store(!one.transport.Protocols.HTTP1())
		all = append(all, one)
	}
	return all
}

// errUnreached is why a connection could not be made. Nothing was sent then.
type errUnreached struct{ error }

func (e *errUnreached) Unwrap() error { return e.error }

// newTransport returns connections in that protocol. No proxy is used, whatever
// the environment says: a request that has been judged goes nowhere else.
func newTransport(trust *tls.Config, protocol string) *http.Transport {
	cfg := trust.Clone()
	if cfg == nil {
		cfg = new(tls.Config)
	}
	cfg.MinVersion = max(cfg.MinVersion, tls.VersionTLS12)
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(64)
	dialer := &net.Dialer{
		Timeout:         connectTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 10 * time.Second, Count: 3},
	}
	t := &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, &errUnreached{err}
			}
			return c, nil
		},
		TLSClientConfig:     cfg,
		TLSHandshakeTimeout: connectTimeout,
		DisableCompression:  true,
		MaxIdleConns:        512,
		MaxIdleConnsPerHost: 512,
		IdleConnTimeout:     idleUpstream,
		HTTP2:               &http.HTTP2Config{MaxReceiveBufferPerStream: streamBuffer, SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
		Protocols:           new(http.Protocols),

		MaxResponseHeaderBytes: maxHeaderBytes,
	}
	t.Protocols.SetHTTP1(protocol != "2" && protocol != "h2c")
	t.Protocols.SetHTTP2(protocol != "1.1" && protocol != "h2c")
	t.Protocols.SetUnencryptedHTTP2(protocol == "h2c")
	if !t.Protocols.HTTP1() {
		t.IdleConnTimeout = idleStreams
	}
	return t
}

// turn is whose turn it is among equals.
type turn struct{ n atomic.Uint64 }

// candidates are the upstreams that may be asked, in order: the one that the
// session is on, and no other; else the one with the fewest requests in flight, and
// behind all others those that could not be reached lately.
func (x *exchange) candidates(now time.Time) []*upstream {
	if x.session.upstream != nil {
		return []*upstream{x.session.upstream}
	}
	all := x.route.upstreams
	if len(all) == 1 {
		return all
	}
	first := int(x.route.turn.n.Add(1) % uint64(len(all)))
	order := slices.Concat(all[first:], all[:first])
	load := make(map[*upstream]int64, len(order))
	for _, u := range order {
		load[u] = u.inFlight.Load()
		if u.rests(now) {
			load[u] |= 1 << 62
		}
	}
	slices.SortStableFunc(order, func(a, b *upstream) int {
		switch {
		case load[a] < load[b]:
			return -1
		case load[a] > load[b]:
			return 1
		}
		return 0
	})
	return order
}

func (u *upstream) rests(now time.Time) bool {
	failed := u.failed.Load()
	return failed != 0 && now.Sub(time.Unix(0, failed)) < restAfterFailure
}

// gone reports whether u could not be reached for so long that it may not come back.
func (u *upstream) gone(now time.Time) bool {
	away := u.away.Load()
	return away != 0 && now.Sub(time.Unix(0, away)) >= goneAfter
}

// unreached reports whether err says that a connection could not be made.
func unreached(err error) bool {
	_, ok := errors.AsType[*errUnreached](err)
	return ok
}

// target is the URL of the upstream that the request is for. An upstream's path
// takes the place of the route's.
func (u *upstream) target(r *route, asked *url.URL) *url.URL {
	to := *asked
	to.Scheme, to.Host, to.User = u.url.Scheme, u.url.Host, nil
	if u.url.Path == "" {
		return &to
	}
	decoded, escaped := behind(r, asked.Path), behind(r, asked.EscapedPath())
	if decoded == "" {
		to.Path, to.RawPath = u.url.Path, u.url.RawPath
		return &to
	}
	to.Path = strings.TrimSuffix(u.url.Path, "/") + decoded
	to.RawPath = strings.TrimSuffix(u.url.EscapedPath(), "/") + escaped
	return &to
}

// behind is what of path comes behind the route's. No slash in it is encoded, so
// that the segments of both readings are the same.
func behind(r *route, path string) string {
	for range strings.Count(r.path(), "/") {
		i := strings.IndexByte(path[1:], '/')
		if i < 0 {
			return ""
		}
		path = path[i+1:]
	}
	if path == "/" && r.path() == "" {
		return ""
	}
	return path
}
