package stdio

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
)

// post sends a message. It calls left when that has been written, which may be
// long before there is an answer.
func (s *streamable) post(ctx context.Context, m message, left func()) (*http.Response, error) {
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			if info.Err == nil {
				left()
			}
		},
		GotFirstResponseByte: left,
	})
	return s.send(ctx, http.MethodPost, s.headerOf(m), m.raw)
}

// send sends a request to the server, and follows it where the server says that
// it has moved. The answer is the caller's to close.
func (s *streamable) send(ctx context.Context, method string, h http.Header, body []byte) (*http.Response, error) {
	s.mu.Lock()
	target := s.target
	s.mu.Unlock()
	for hops := 0; ; hops++ {
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
		if err != nil {
			return nil, err
		}
		res.Request = req
		next := moved(target, res)
		if next == nil || hops == mostHops {
			if hops > 0 && res.StatusCode/100 == 2 { // it is there, and not a page that says why it is not
				s.settle(target)
			}
			return res, nil
		}
		spend(res)
		res.Body.Close()
		target = next
	}
}
