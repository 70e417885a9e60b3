package proxy

import (
	"net/http"
	"net/textproto"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// requestFields makes h, which a client sent, what goes on to the upstream, and
// returns the protocol that it asks to switch to, "" for none. It reports false
// if that is no name of one.
//
// A header without User-Agent has an empty one afterwards, which keeps net/http
// from sending its own.
func requestFields(h http.Header) (upgrade string, ok bool) {
	if upgrade = upgradeType(h); !printable(upgrade) {
		return "", false
	}
	if upgrade != "" && httpguts.HeaderValuesContainsToken([]string{upgrade}, "h2c") {
		// It changes the framing of the connection instead of the protocol
		// inside it (RFC 9113, section 3.1: h2c is obsolete).
		upgrade = ""
	}
	trailers := len(h["Te"]) > 0 && httpguts.HeaderValuesContainsToken(h["Te"], "trailers")
	dropNamed(h)
	for name := range h {
		if perHop(name) {
			delete(h, name)
		}
	}
	if trailers {
		h["Te"] = []string{"trailers"}
	}
	if upgrade != "" {
		h["Connection"], h["Upgrade"] = []string{"Upgrade"}, []string{upgrade}
	}
	if _, ok := h["User-Agent"]; !ok {
		h["User-Agent"] = []string{""}
	}
	return upgrade, true
}

// answerFields adds to h the fields from, which an upstream sent, that go on to
// the client. Of those that speak of proxies Proxy-Status and its like are for
// everybody on the way.
func answerFields(h, from http.Header) {
	dropNamed(from)
	for name, values := range from {
		switch name {
		case "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		default:
			h[name] = values
		}
	}
}

// dropNamed removes the fields that Connection names (RFC 9110, section 7.6.1).
func dropNamed(h http.Header) {
	for _, names := range h["Connection"] {
		for name := range strings.SplitSeq(names, ",") {
			h.Del(textproto.TrimString(name))
		}
	}
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
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
	t := &trailer{fields: fields}
	if len(fields) > 0 {
		t.declared = make(map[string]bool, len(fields))
	}
	for name := range fields {
		if hopByHop(name) || !httpguts.ValidTrailerHeader(name) || !httpguts.ValidHeaderFieldName(name) {
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

// hopByHop reports whether a field, however it is written, is for this proxy and
// no further.
func hopByHop(name string) bool { return perHop(textproto.CanonicalMIMEHeaderKey(name)) }

// perHop is hopByHop for a name in its canonical form.
func perHop(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings":
		return true
	}
	return strings.HasPrefix(name, "Proxy-")
}
