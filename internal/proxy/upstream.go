package proxy

import (
	"context"
	"crypto/tls"
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
	h1, h2 *http.Transport
	h2only sync.Map // URL.Host of upstreams that refused HTTP/1.1
}

// NewUpstream returns an Upstream that connects through d and trusts what cfg
// trusts (nil: the system's roots).
func NewUpstream(d *Dialer, cfg *tls.Config) *Upstream {
	return &Upstream{h1: newTransport(d, cfg, false), h2: newTransport(d, cfg, true)}
}

func newTransport(d *Dialer, cfg *tls.Config, h2 bool) *http.Transport {
	cfg = cfg.Clone()
	if cfg == nil {
		cfg = new(tls.Config)
	}
	cfg.MinVersion = tls.VersionTLS12
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(256)
	t := &http.Transport{
		DialContext:           func(ctx context.Context, _, addr string) (net.Conn, error) { return d.Dial(ctx, addr) },
		TLSClientConfig:       cfg,
		TLSHandshakeTimeout:   connectTimeout,
		DisableCompression:    true, // the client's Accept-Encoding is the only one
		ExpectContinueTimeout: time.Second,
		MaxIdleConns:          1024,
		MaxIdleConnsPerHost:   256,
		IdleConnTimeout:       90 * time.Second,
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
	if req.ProtoMajor >= 2 {
		return u.h2.RoundTrip(req)
	}
	if _, ok := u.h2only.Load(req.URL.Host); ok && req.Header.Get("Upgrade") == "" {
		return u.h2.RoundTrip(req)
	}
	body := req.Body
	if body == nil {
		res, err := u.h1.RoundTrip(req)
		if refusesHTTP1(err) {
			u.h2only.Store(req.URL.Host, true)
			return u.h2.RoundTrip(req)
		}
		return res, err
	}
	// The Transport closes the body when the handshake fails, before a byte
	// of it was read; the second try needs it open.
	kept := &keptOpen{ReadCloser: body}
	first := *req
	first.Body = kept
	res, err := u.h1.RoundTrip(&first)
	if refusesHTTP1(err) {
		u.h2only.Store(req.URL.Host, true)
		return u.h2.RoundTrip(req)
	}
	kept.release()
	return res, err
}

// CloseIdleConnections closes connections that carry no request.
func (u *Upstream) CloseIdleConnections() {
	u.h1.CloseIdleConnections()
	u.h2.CloseIdleConnections()
}

// refusesHTTP1 reports whether err is the alert of a server that speaks none
// of the protocols offered (RFC 7301, section 3.2).
func refusesHTTP1(err error) bool {
	return err != nil && strings.Contains(err.Error(), "tls: no application protocol")
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
	timer.Stop()
	if err != nil {
		defer cancel(nil)
		if context.Cause(ctx) == error(late) {
			return nil, late
		}
		return nil, err
	}
	res.Body = bodyWithCancel(res.Body, func() { cancel(nil) })
	return res, nil
}

// bodyWithCancel calls cancel once body is closed. A body that can be written
// to, as that of an upgrade, stays so.
func bodyWithCancel(body io.ReadCloser, cancel func()) io.ReadCloser {
	c := &cancelBody{ReadCloser: body, cancel: cancel}
	if w, ok := body.(io.Writer); ok {
		return struct {
			*cancelBody
			io.Writer
		}{c, w}
	}
	return c
}

type cancelBody struct {
	io.ReadCloser
	cancel func()
}

func (b *cancelBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}
