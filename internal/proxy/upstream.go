package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Upstream sends requests to where their URL says, with the protocol that the
// client itself used: HTTP/2 for an HTTP/2 client, HTTP/1.1 otherwise, and the
// other one only where the upstream has nothing else. Mirroring keeps what one
// protocol can say and the other cannot, trailers and upgrades above all.
//
// It is an [http.RoundTripper], safe for concurrent use. Only https URLs and
// plain http ones that no rule can match come here; it follows no redirect
// and adds no header.
type Upstream struct {
	h1    *http.Transport // HTTP/1.1 and nothing else
	h2    *http.Transport // HTTP/2, or HTTP/1.1 where there is none
	notH1 sync.Map        // URL.Host of upstreams that did not agree to HTTP/1.1
}

// NewUpstream returns an Upstream that connects through d and trusts what cfg
// trusts (nil: the system's roots).
func NewUpstream(d *Dialer, cfg *tls.Config) *Upstream {
	u := &Upstream{h1: newTransport(d, cfg, false), h2: newTransport(d, cfg, true)}
	requireHTTP1(u.h1.TLSClientConfig)
	return u
}

// requireHTTP1 has a handshake fail in which the server did not choose
// HTTP/1.1 from our offer of it. Some servers that have only HTTP/2 refuse
// such a client by an alert; others, Go's among them, go on as if there were
// no offer, and hang up on the request. Servers that choose nothing because
// they do not know ALPN are let in by the transport that offers both.
func requireHTTP1(cfg *tls.Config) {
	verify := cfg.VerifyConnection
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		if verify != nil {
			if err := verify(cs); err != nil {
				return err
			}
		}
		if cs.NegotiatedProtocol != "http/1.1" {
			return errNotHTTP1
		}
		return nil
	}
}

var errNotHTTP1 = errors.New("the server did not agree to HTTP/1.1")

func newTransport(d *Dialer, cfg *tls.Config, h2 bool) *http.Transport {
	cfg = cfg.Clone()
	if cfg == nil {
		cfg = new(tls.Config)
	}
	cfg.MinVersion = tls.VersionTLS12
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(256)
	t := &http.Transport{
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			if err := anotherAttempt(ctx, addr); err != nil {
				return nil, err
			}
			return d.Dial(ctx, addr)
		},
		TLSClientConfig:       cfg,
		TLSHandshakeTimeout:   connectTimeout,
		DisableCompression:    true, // the client's Accept-Encoding is the only one
		ExpectContinueTimeout: time.Second,
		MaxIdleConns:          512, // of some 50 KB each
		MaxIdleConnsPerHost:   512,
		IdleConnTimeout:       90 * time.Second,
		ReadBufferSize:        2 << 10, // for headers, mostly; what reads bodies brings more
		HTTP2:                 &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
		Protocols:             new(http.Protocols),
	}
	t.Protocols.SetHTTP1(true)
	if h2 {
		t.Protocols.SetHTTP2(true)
	} else {
		// Said aloud, so that a server without HTTP/1.1 refuses the
		// handshake instead of answering in a protocol we did not offer.
		cfg.NextProtos = []string{"http/1.1"}
	}
	return t
}

// RoundTrip implements [http.RoundTripper].
func (u *Upstream) RoundTrip(req *http.Request) (*http.Response, error) {
	out := req.WithContext(&attempts{Context: req.Context()})
	if _, ok := u.notH1.Load(req.URL.Host); ok || req.ProtoMajor >= 2 {
		return u.either(out)
	}
	// The Transport closes the body when the handshake fails, before a byte
	// of it was read; the second try needs it open.
	var kept *keptOpen
	if req.Body != nil && req.Body != http.NoBody {
		kept = &keptOpen{ReadCloser: req.Body}
		out.Body = kept
	}
	res, err := u.h1.RoundTrip(out)
	if refusesHTTP1(err) {
		u.notH1.Store(req.URL.Host, true)
		return u.either(req.WithContext(out.Context()))
	}
	if kept != nil {
		kept.release()
	}
	return res, err
}

// either sends req with what the upstream has, HTTP/2 for choice.
func (u *Upstream) either(req *http.Request) (*http.Response, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return u.h2.RoundTrip(req)
	}
	// Over HTTP/2, closing an answer waits for a read of the request's body,
	// which is to say for the client. Once the request is cancelled it does
	// not: an answer may be over while the client still sends, and a client
	// that is silent waits for just that answer's end.
	ctx, cancel := context.WithCancel(req.Context())
	res, err := u.h2.RoundTrip(req.WithContext(ctx))
	if err != nil {
		cancel()
		return nil, err
	}
	res.Body = bodyWithCancel(res.Body, cancel)
	return res, nil
}

// CloseIdleConnections closes connections that carry no request.
func (u *Upstream) CloseIdleConnections() {
	u.h1.CloseIdleConnections()
	u.h2.CloseIdleConnections()
}

// refusesHTTP1 reports whether err comes from a server that did not choose
// HTTP/1.1, or is the alert of one that speaks none of the protocols offered
// (RFC 7301, section 3.2).
func refusesHTTP1(err error) bool {
	return errors.Is(err, errNotHTTP1) || err != nil && strings.Contains(err.Error(), "tls: no application protocol")
}

// keptOpen delays Close until release.
type keptOpen struct {
	io.ReadCloser
	mu               sync.Mutex
	released, closed bool
}

func (k *keptOpen) Close() error {
	k.mu.Lock()
	k.closed = true
	released := k.released
	k.mu.Unlock()
	if released {
		return k.ReadCloser.Close()
	}
	return nil
}

func (k *keptOpen) release() {
	k.mu.Lock()
	k.released = true
	closed := k.closed
	k.mu.Unlock()
	if closed {
		k.ReadCloser.Close()
	}
}

// WithTimeout returns a RoundTripper that gives next at most d to return the
// response's header; the body may take as long as it likes. A d of 0 sets no
// limit.
func WithTimeout(next http.RoundTripper, d time.Duration) http.RoundTripper {
	if d <= 0 {
		return next
	}
	return &headerTimeout{next: next, d: d}
}

type headerTimeout struct {
	next http.RoundTripper
	d    time.Duration
}

func (t *headerTimeout) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	late := &Answer{
		Status: http.StatusGatewayTimeout, Type: "upstream-timeout", Title: "The upstream did not answer in time", Reason: "http_response_timeout",
		Detail: req.URL.Host + " sent no response within the rule's timeout of " + t.d.String() + ".",
		Hint:   "Raise the rule's timeout if the upstream may think for longer.",
	}
	timer := time.AfterFunc(t.d, func() { cancel(late) })
	res, err := t.next.RoundTrip(req.WithContext(ctx))
	inTime := timer.Stop()
	if err == nil && inTime {
		res.Body = bodyWithCancel(res.Body, func() { cancel(nil) })
		return res, nil
	}
	defer cancel(nil)
	if err == nil {
		// Cancelling tells the upstream before it closes the connection, and
		// what the upstream says to that is no answer.
		res.Body.Close()
	}
	if !inTime {
		return nil, late
	}
	return nil, err
}

// bodyWithCancel calls cancel before body is closed. A body that can be
// written to, as that of an upgrade, stays so.
func bodyWithCancel(body io.ReadCloser, cancel func()) io.ReadCloser {
	c := &cancelBody{ReadCloser: body, cancel: cancel}
	if w, ok := body.(io.Writer); ok {
		return &upgradedBody{c, w}
	}
	return c
}

type cancelBody struct {
	io.ReadCloser
	cancel func()
}

func (b *cancelBody) Close() error {
	b.cancel()
	return b.ReadCloser.Close()
}

type upgradedBody struct {
	*cancelBody
	io.Writer
}

// CloseWrite closes the write side, where the body has one.
func (b *upgradedBody) CloseWrite() error {
	if h, ok := b.Writer.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return errors.ErrUnsupported
}
