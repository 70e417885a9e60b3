package proxy

import (
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
)

// newReverse returns what carries an intercepted request to its route and the
// response back.
func (p *Proxy) newReverse() *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite:        rewriteIntercepted,
		Transport:      routed{},
		ModifyResponse: prepare,
		ErrorHandler:   p.failed,
		ErrorLog:       p.o.ErrorLog,
		BufferPool:     &copyBuffers,
	}
}

// routed sends each request down the route that was chosen for it.
type routed struct{}

// RoundTrip implements [http.RoundTripper]. A request whose body broke off, or
// was framed wrongly, is the client's failure, also where the upstream manages
// to answer to as much as it got of it before its connection is gone.
func (routed) RoundTrip(r *http.Request) (*http.Response, error) {
	x := exchangeFrom(r.Context())
	res, err := x.route.RoundTrip(r)
	if err != nil || x.body == nil {
		return res, err
	}
	if broken := x.body.failed.Load(); broken != nil {
		res.Body.Close()
		return nil, malformedBody(*broken)
	}
	return res, nil
}

// rewriteIntercepted makes the outgoing request what the client sent, but for
// hop-by-hop fields.
func rewriteIntercepted(pr *httputil.ProxyRequest) {
	x := exchangeFrom(pr.In.Context())
	unchanged(pr)
	u := pr.Out.URL
	u.Scheme, u.Host = "https", x.upstream
	if u.EscapedPath() != x.rawPath && x.rawPath != "*" {
		// The Transport would normalise it. An opaque path that begins with
		// a single slash is sent as it is.
		u.Opaque = x.rawPath
	}
}

// unchanged undoes what ReverseProxy changes for servers that it fronts: a
// forward proxy is not part of the origin.
func unchanged(pr *httputil.ProxyRequest) {
	in, out := pr.In, pr.Out
	for _, k := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if v, ok := in.Header[k]; ok {
			out.Header[k] = v
		}
	}
	out.URL.RawQuery, out.URL.ForceQuery = in.URL.RawQuery, in.URL.ForceQuery
	out.Host = in.Host
	out.Trailer = in.Trailer // the same map: its values arrive behind the body
	for k := range out.Header {
		if strings.HasPrefix(k, "Proxy-") {
			delete(out.Header, k)
		}
	}
	dropUpgrades(out.Header)
	if _, ok := out.Header["Upgrade"]; !ok {
		delete(out.Header, "Connection")
	}
}

// prepare makes an upstream's answer ready for ReverseProxy.
func prepare(res *http.Response) error {
	if res.StatusCode == http.StatusSwitchingProtocols {
		return nil // what looks like a body is the connection
	}
	screenTrailer(res.Trailer)
	// A declared length leaves no room for trailers in HTTP/1.1.
	if len(res.Trailer) > 0 && res.Request.ProtoMajor == 1 {
		res.Header.Del("Content-Length")
	}
	// ReverseProxy holds back what has a length, a buffer at a time. Where
	// there is no body it must go on doing so: a header that ends the stream
	// by itself, as gRPC's errors do, must not be torn from its end.
	if res.ContentLength > 0 && res.Body != http.NoBody && res.Request.Method != http.MethodHead {
		res.ContentLength = -1
	}
	if res.Body != http.NoBody {
		res.Body = &screenedBody{res.Body, res}
	}
	return nil
}

// copyBuffers are the buffers between an upstream's body and a client.
var copyBuffers bufferPool

type bufferPool struct{ pool sync.Pool }

const copyBufferSize = 32 << 10

// Get implements [httputil.BufferPool].
func (b *bufferPool) Get() []byte {
	if v, ok := b.pool.Get().(*[copyBufferSize]byte); ok {
		return v[:]
	}
	return make([]byte, copyBufferSize)
}

// Put implements [httputil.BufferPool].
func (b *bufferPool) Put(v []byte) { b.pool.Put((*[copyBufferSize]byte)(v)) }
