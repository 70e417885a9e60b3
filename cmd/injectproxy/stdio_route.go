package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/match"
	"github.com/injectproxy/injectproxy/internal/proxy"
	"github.com/injectproxy/injectproxy/internal/record"
	"github.com/injectproxy/injectproxy/internal/stdio"
)

// inward is the way into the routes of an instance without a door, for requests
// to one server. It finds the rule of each as the door does, and what happens is
// told to the same observer. What no rule covers is never sent, nor is what is
// under a rule of another audience than the server's own: a server chooses, by
// redirects and endpoints, where messages go, and would speak in the user's name
// to others of its host.
type inward struct {
	*instance
	server   *url.URL
	audience *config.Audience // of the rule that covers server
	rules    []config.Rule    // in the order of the table
	streams  bool             // without its stream the server cannot be spoken to
}

// toServer returns the way from within to the server of s. The configuration
// that in began with stays.
func (in *instance) toServer(s *stdioSetting) (inward, error) {
	_, index, err := s.cfg.Table()
	t := inward{instance: in, server: s.url, audience: s.audience, streams: s.transport == stdio.SSE}
	for _, i := range index {
		t.rules = append(t.rules, s.cfg.Rules[i])
	}
	return t, err
}

// RoundTrip implements [http.RoundTripper]. An error is a [*proxy.Answer], or
// that of the request's context.
func (t inward) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := &record.Record{Start: time.Now(), Method: r.Method, Path: r.URL.EscapedPath()}
	route, own, err := t.choose(rec, r)
	if own != nil || err != nil {
		closeBodyOf(r)
		return own, err
	}
	t.watch.began(rec, r.Header)
	res, err := route.RoundTrip(outward(r, rec))
	if err != nil {
		return nil, t.failed(rec, r.Context(), err)
	}
	rec.Status, rec.Answered = res.StatusCode, time.Now()
	rec.Stream = strings.HasPrefix(strings.ToLower(res.Header.Get("Content-Type")), "text/event-stream")
	t.watch.answered(rec)
	res.Request = r
	res.Body = &observedBody{ReadCloser: res.Body, done: func(n int64) {
		rec.Bytes = n
		t.watch.done(rec)
	}}
	return res, nil
}

// choose returns the route of r. Where the rule leaves out the method of a
// request that a server need not offer, the answer is ours: it does not.
func (t inward) choose(rec *record.Record, r *http.Request) (http.RoundTripper, *http.Response, error) {
	authority, err := match.Authority(r.URL.Host)
	if err != nil || r.URL.Scheme != "https" || r.URL.Opaque != "" || r.URL.User != nil {
		return nil, nil, withheld("The server named an address to which no token is sent.", "")
	}
	rec.Authority = authority
	t.mu.Lock()
	rules := t.current.rules
	t.mu.Unlock()
	v := rules.Table.Lookup(authority, r.Method, rec.Path)
	if v.Reason == match.NoMethod && r.Method != http.MethodPost && !t.streams {
		return nil, &http.Response{
			Status: "405 Method Not Allowed", StatusCode: http.StatusMethodNotAllowed, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: http.Header{}, Body: http.NoBody, Request: r,
		}, nil
	}
	if v.Rule < 0 {
		return nil, nil, withheld("The server wants messages at "+t.place(r.URL)+", and "+v.Reason.String()+".", t.remedy(v.Reason, r))
	}
	chosen := rules.Routes[v.Rule]
	if own := t.rules[v.Rule]; own.Off == "" && own.Audience != t.audience {
		return nil, nil, withheld("The server wants messages at "+t.place(r.URL)+", which is under "+ruleNamed(chosen.Name)+", and gets the token of another server.",
			"if you mean that server, give its URL; if both are one, give their rules the same audience")
	}
	rec.Rule, rec.Team, rec.Kind = chosen.Name, chosen.Team, chosen.Kind
	return chosen, nil, nil
}

func ruleNamed(rule string) string {
	if rule == "" {
		return "another rule"
	}
	return "rule " + rule
}

func withheld(detail, hint string) *proxy.Answer {
	return &proxy.Answer{
		Status: http.StatusBadGateway, Type: "token-withheld", Title: "The token was withheld", Reason: "http_request_denied", Final: true,
		Detail: detail + " Nothing was sent.", Hint: hint,
	}
}

// outward returns r as it goes down a route: in HTTP/2, where the server has it,
// as many requests go at once.
func outward(r *http.Request, rec *record.Record) *http.Request {
	out := r.WithContext(record.NewContext(r.Context(), rec))
	out.Proto, out.ProtoMajor, out.ProtoMinor, out.Host = "HTTP/2.0", 2, 0, ""
	if out.Header["User-Agent"] == nil {
		out.Header = r.Header.Clone()
		out.Header.Set("User-Agent", userAgent())
	}
	return out
}

// userAgent is what servers see of us.
func userAgent() string { return "injectproxy/" + bareVersion() }

// failed tells of a request that got no answer, and returns why in words for
// the client's user.
func (t inward) failed(rec *record.Record, ctx context.Context, err error) error {
	if ctx.Err() != nil {
		t.watch.done(rec)
		return ctx.Err()
	}
	a := proxy.Explain(err, rec.Authority)
	rec.Status, rec.Problem, rec.Answered = a.Status, a.Title, time.Now()
	t.watch.answered(rec)
	t.watch.done(rec)
	return a
}

func closeBodyOf(r *http.Request) {
	if r.Body != nil {
		r.Body.Close()
	}
}

// CloseIdleConnections closes connections that carry no request.
func (t inward) CloseIdleConnections() { t.upstream.CloseIdleConnections() }

// explainTo returns what the client's user is told of an error of a route to
// authority, or of reading what it answered.
func explainTo(authority string) func(error) (string, any) {
	return func(err error) (string, any) {
		if errors.Is(err, context.Canceled) {
			return "the request was given up", nil
		}
		a := proxy.Explain(err, authority)
		return a.Line(), a.Document()
	}
}

// observedBody tells of its end, once, and how many bytes there were. Its reader
// and who closes it may be two.
type observedBody struct {
	io.ReadCloser
	n    atomic.Int64
	once sync.Once
	done func(n int64)
}

// Read implements [io.Reader].
func (b *observedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n.Add(int64(n))
	if err != nil {
		b.end()
	}
	return n, err
}

// Close implements [io.Closer].
func (b *observedBody) Close() error {
	err := b.ReadCloser.Close()
	b.end()
	return err
}

func (b *observedBody) end() { b.once.Do(func() { b.done(b.n.Load()) }) }
