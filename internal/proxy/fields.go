package proxy

import (
	"io"
	"net/http"
	"net/textproto"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// dropUpgrades removes upgrades that change the framing of the connection
// instead of the protocol inside it (RFC 9113, section 3.1: h2c is obsolete).
func dropUpgrades(h http.Header) {
	if httpguts.HeaderValuesContainsToken(h["Upgrade"], "h2c") {
		delete(h, "Upgrade")
	}
	delete(h, "Http2-Settings")
}

// trailer cleans the trailers of a message: those that speak to the next hop,
// or of the message's framing, are none (RFC 9110, section 6.5.1).
type trailer struct {
	fields   http.Header // of the message itself: filled when its body has ended
	declared map[string]bool
}

// screenTrailer removes from fields, which a message announces, what may not
// come as a trailer.
func screenTrailer(fields http.Header) *trailer {
	t := &trailer{fields: fields, declared: make(map[string]bool, len(fields))}
	for name := range fields {
		if hopByHop(name) || !httpguts.ValidTrailerHeader(name) {
			delete(fields, name)
		} else {
			t.declared[name] = true
		}
	}
	return t
}

// ended removes what arrived without being announced, once all has arrived.
func (t *trailer) ended() {
	for name := range t.fields {
		if !t.declared[name] {
			delete(t.fields, name)
		}
	}
}

// screenedBody removes from an upstream's trailers, once they have arrived,
// what may not come as one. Those that were never announced may pass.
type screenedBody struct {
	io.ReadCloser
	res *http.Response
}

func (b *screenedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		screenTrailer(b.res.Trailer)
	}
	return n, err
}

// hopByHop reports whether a field is for this proxy and no further.
func hopByHop(name string) bool {
	name = textproto.CanonicalMIMEHeaderKey(name)
	switch name {
	case "Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings":
		return true
	}
	return strings.HasPrefix(name, "Proxy-")
}
