package inject

import (
	"io"
	"net/http"
	"net/textproto"
	"strings"
	"sync"

	"golang.org/x/net/http/httpguts"
)

// screenTrailer keeps from out's trailers what may not be said in one. A
// trailer's names are announced before the body, but its values, and with a
// client that lies other names too, arrive when the body has been read. So out
// gets a map of its own, which is filled at that moment.
func (t *transport) screenTrailer(out *http.Request) {
	if out.Trailer == nil {
		return
	}
	s := &screen{from: out.Trailer, to: make(http.Header, len(out.Trailer)), allowed: t.allowedTrailer}
	for name := range s.from {
		if t.allowedTrailer(name) {
			s.to[name] = nil
		}
	}
	out.Trailer = s.to
	if len(s.to) == 0 || out.Body == nil || out.Body == http.NoBody {
		out.Trailer = nil
		return
	}
	out.Body = &screenedBody{ReadCloser: out.Body, screen: s}
	if again := out.GetBody; again != nil {
		out.GetBody = func() (io.ReadCloser, error) {
			body, err := again()
			if err != nil {
				return nil, err
			}
			return &screenedBody{ReadCloser: body, screen: s}, nil
		}
	}
}

// allowedTrailer reports whether a trailer may have this name: none of RFC 9110
// section 6.5.1 (framing, routing, authentication, content format), and none
// that a rule sets, replaces or strips as a header.
func (t *transport) allowedTrailer(name string) bool {
	name = textproto.CanonicalMIMEHeaderKey(name)
	switch {
	case name == t.carrier, t.removed[name], t.set[name],
		name == "Cookie", name == "Set-Cookie", name == "Upgrade",
		strings.HasPrefix(name, "Proxy-"):
		return false
	}
	return httpguts.ValidHeaderFieldName(name) && httpguts.ValidTrailerHeader(name)
}

// screen passes the allowed trailers from one map to another, once.
type screen struct {
	from, to http.Header
	allowed  func(name string) bool
	once     sync.Once // two attempts of the Transport share the maps
}

func (s *screen) pass() {
	for name, values := range s.from {
		if !s.allowed(name) {
			continue
		}
		var valid []string
		for _, v := range values {
			if httpguts.ValidHeaderFieldValue(v) {
				valid = append(valid, v)
			}
		}
		s.to[name] = valid
	}
}

// screenedBody passes the trailers on when the body has ended.
type screenedBody struct {
	io.ReadCloser
	screen *screen
}

func (b *screenedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.screen.once.Do(b.screen.pass)
	}
	return n, err
}
