package stdio

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
)

// post sends a message. It calls left when that has been written, which may be
// long before there is an answer. Its error is a [*unsent] if that was given up
// before anything was written.
func (s *streamable) post(ctx context.Context, m message, left func()) (*http.Response, error) {
	var begun atomic.Bool
	sending := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteHeaders: func() { begun.Store(true) },
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			if info.Err == nil {
				left()
			}
		},
		GotFirstResponseByte: left,
	})
	if isInitialize(m) {
		s.forget(nil)
	}
	res, err := s.send(sending, http.MethodPost, s.headerOf(m), m.raw)
	if err != nil && ctx.Err() != nil && !begun.Load() {
		err = &unsent{err}
	}
	return res, err
}

// unsent is the error of a request that the server knows nothing of.
type unsent struct{ err error }

// Error implements error.
func (e *unsent) Error() string { return e.err.Error() }

// Unwrap returns why it was not sent.
func (e *unsent) Unwrap() error { return e.err }

// send sends a request to the server, and follows it where the server says that
// it has moved. The answer is the caller's to close.
func (s *streamable) send(ctx context.Context, method string, h http.Header, body []byte) (*http.Response, error) {
	target, lasting := s.place()
	for hops := 0; ; {
		res, err := s.exchange(ctx, method, target, h, body)
		if err != nil {
			if ctx.Err() == nil {
				s.forget(target)
			}
			return nil, err
		}
		next := moved(target, res)
		switch {
		case next != nil && hops < mostHops:
			lasting = lasting && res.StatusCode == http.StatusPermanentRedirect
			hops++
		case isGone(res.StatusCode) && s.forget(target) && unknown(res.StatusCode) && hops == 0 && method != http.MethodDelete:
			next, lasting = s.place() // nothing was done, and the server may be elsewhere by now
		default:
			if hops > 0 && res.StatusCode/100 == 2 { // it is there, and not a page that says why it is not
				s.settle(target, lasting)
			}
			return res, nil
		}
		spend(res)
		res.Body.Close()
		target = next
	}
}

// exchange sends a request to one place.
func (s *streamable) exchange(ctx context.Context, method string, target *url.URL, h http.Header, body []byte) (*http.Response, error) {
	// HTTP/2 by preference: calls wait for their answers side by side.
	req := (&http.Request{
		Method: method, URL: target, Host: target.Host, Header: h,
		Proto: "HTTP/2.0", ProtoMajor: 2,
	}).WithContext(ctx)
	if body != nil {
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		req.Body, _ = req.GetBody()
		req.ContentLength = int64(len(body))
	}
	res, err := s.o.Route.RoundTrip(req)
	if err == nil {
		res.Request = req
	}
	return res, err
}
