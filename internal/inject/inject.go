// Package inject attaches a rule's token to the requests that leave for that
// rule's upstream, and its other headers with it. It is the last layer before
// the wire, and trusts none before it: it works out where the request would
// really go, and sends nothing unless that lies under one of its prefixes.
//
// It refuses to send a request without its token, a second value of the header
// that carries the token, that header in a trailer, and any value that is not
// visible ASCII.
package inject

import (
	"fmt"
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"sync/atomic"

	"github.com/injectproxy/injectproxy/internal/match"
	"github.com/injectproxy/injectproxy/internal/token"
)

// Options say what one rule attaches. Prefixes and Tokens are required: without
// a prefix every request is refused.
type Options struct {
	Prefixes []match.Prefix // where the token may go
	Tokens   *token.Cache

	Header string // header that carries the token; "" means Authorization
	Scheme string // word before the token, such as Bearer; "" sends the bare token
	Keep   bool   // a client that sent Header itself keeps its own, and no token is acquired

	Strip   []string // request headers that are removed
	Headers []Header // request headers that are set, replacing the client's
}

// Header is a request header whose value is looked up for each request. Value
// may be called concurrently. One newline at the end of what it returns is
// dropped; the rest is visible ASCII, with blanks and tabs inside, or the
// request is not sent.
type Header struct {
	Name  string
	Value func() (string, error)
}

// New returns a RoundTripper that completes requests as o says and hands them
// to next. It never changes the request that it is given, whose body it closes
// on every path, and it may be used concurrently if next may.
//
// A request that may not carry the token fails with an error that wraps
// [ErrRefused]; a header without a usable value with a [*token.Error] of class
// [token.Misconfigured]; a token that cannot be had with the cache's error as it
// is. Nothing is sent in any of these cases.
//
// If the request's context carries a [token.Use], its Next is attached rather
// than the cache's token, and Token and Attempts are written.
func New(next http.RoundTripper, o Options) http.RoundTripper {
	if o.Header == "" {
		o.Header = "Authorization"
	}
	t := &transport{
		next: next, o: o,
		carrier: textproto.CanonicalMIMEHeaderKey(o.Header),
		removed: make(map[string]bool, len(o.Strip)),
		set:     make(map[string]bool, len(o.Headers)),
	}
	for _, name := range o.Strip {
		t.removed[textproto.CanonicalMIMEHeaderKey(name)] = true
	}
	for _, h := range o.Headers {
		t.set[textproto.CanonicalMIMEHeaderKey(h.Name)] = true
	}
	t.own = slices.AppendSeq([]string{t.carrier}, maps.Keys(t.removed))
	t.own = slices.AppendSeq(t.own, maps.Keys(t.set))
	slices.Sort(t.own)
	t.own = slices.Compact(t.own)
	return t
}

type transport struct {
	next http.RoundTripper
	o    Options

	carrier string          // canonical name of the header that carries the token
	removed map[string]bool // canonical names of o.Strip
	set     map[string]bool // canonical names of o.Headers
	own     []string        // all of these names, each once

	credential atomic.Pointer[credential] // attached last
}

// credential is a token as a header has it. A token serves many requests, and
// is long.
type credential struct {
	token token.Token
	value []string // with room for no more: it is shared
}

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	use := token.UseFrom(req.Context())
	if use == nil {
		use = new(token.Use)
	}
	out, err := t.complete(req, use)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	use.Attempts++
	resp, err := t.next.RoundTrip(out)
	if resp != nil {
		// out holds the token; what travels on with the response must not.
		resp.Request = req
	}
	return resp, err
}

// complete returns the request that goes upstream, and notes its token in use.
func (t *transport) complete(req *http.Request, use *token.Use) (*http.Request, error) {
	next := use.Next
	use.Token, use.Next = token.Token{}, token.Token{}
	if err := t.refuse(req); err != nil {
		return nil, err
	}
	kept, err := t.kept(req.Header)
	if err != nil {
		return nil, err
	}
	header := t.remaining(req.Header, kept)
	if err := t.setHeaders(header); err != nil {
		return nil, err
	}
	if !kept {
		if use.Token, err = t.attach(req, header, next); err != nil {
			return nil, err
		}
	}
	out := req.WithContext(req.Context())
	out.Header = header
	t.screenTrailer(out)
	return out, nil
}

// attach puts the token into header and returns it.
func (t *transport) attach(req *http.Request, header http.Header, next token.Token) (token.Token, error) {
	tok := next
	if tok.IsZero() {
		var err error
		if tok, err = t.o.Tokens.Token(req.Context()); err != nil {
			return token.Token{}, err
		}
	}
	if tok.IsZero() {
		return token.Token{}, fmt.Errorf("inject: %w: there is no token", ErrRefused)
	}
	value, err := t.value(tok)
	if err != nil {
		return token.Token{}, err
	}
	header[t.carrier] = value
	return tok, nil
}

// value returns what the header has for tok.
func (t *transport) value(tok token.Token) ([]string, error) {
	if c := t.credential.Load(); c != nil && c.token.Equal(tok) {
		return c.value, nil
	}
	value := tok.Reveal()
	if t.o.Scheme != "" {
		if flaw := flaw(t.o.Scheme); flaw != "" {
			return nil, unusable(t.carrier, "its scheme "+flaw, nil)
		}
		value = t.o.Scheme + " " + value
	}
	c := &credential{tok, []string{value}}
	t.credential.Store(c)
	return c.value, nil
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}
