package inject

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/injectproxy/injectproxy/internal/match"
)

// ErrRefused is wrapped by the errors for requests that may not carry the
// rule's token. They name no part of the request.
var ErrRefused = errors.New("the request may not carry the rule's token")

// refuse says why req may not carry the token, judging what net/http would put
// on the wire rather than the fields that an earlier layer looked at.
func (t *transport) refuse(req *http.Request) error {
	why := ""
	switch {
	case req.URL == nil || req.URL.Scheme != "https":
		why = "it is not https"
	case req.Method == http.MethodConnect:
		why = "it is a CONNECT, which has no path"
	case req.Method == http.MethodTrace:
		why = "a TRACE would echo the token"
	case !t.covers(req):
		why = "it lies under none of the rule's prefixes"
	default:
		return nil
	}
	return fmt.Errorf("inject: %w: %s", ErrRefused, why)
}

// covers reports whether one of the prefixes covers the address dialled, the
// host named to the server, and the path as it is sent.
func (t *transport) covers(req *http.Request) bool {
	authority, err := match.Authority(req.URL.Host)
	if err != nil {
		return false
	}
	// Behind one address the server goes by the Host it is told.
	if req.Host != "" && req.Host != req.URL.Host {
		if host, err := match.Authority(req.Host); err != nil || host != authority {
			return false
		}
	}
	path, ok := wirePath(req)
	if !ok {
		return false
	}
	for _, p := range t.o.Prefixes {
		if p.Covers(authority, path) {
			return true
		}
	}
	return false
}

// wirePath returns the path that the Transport puts into the request line or
// :path, and false if that is no path: an Opaque without a slash before it, or
// one that begins with two, which RequestURI turns into an absolute URL.
func wirePath(req *http.Request) (string, bool) {
	target := cmp.Or(req.URL.EscapedPath(), "/")
	if req.URL.Opaque != "" {
		target = req.URL.RequestURI()
	}
	if !strings.HasPrefix(target, "/") {
		return "", false
	}
	path, _, _ := strings.Cut(target, "?")
	return path, true
}
