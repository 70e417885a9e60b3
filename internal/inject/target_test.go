package inject_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/inject"
)

func TestRequestOutsideThePrefixIsNotSent(t *testing.T) {
	t.Parallel()
	up, src := newUpstream(t, "HTTP/1.1"), new(source)
	rt := up.route(t, src, inject.Options{Scheme: "Bearer"})
	host := strings.TrimPrefix(up.URL, "https://")
	port := host[strings.LastIndexByte(host, ':'):]
	for name, change := range map[string]func(*http.Request){
		"another path":            func(r *http.Request) { r.URL.Path = "/v2/x" },
		"a longer segment":        func(r *http.Request) { r.URL.Path = "/v1-admin" },
		"the root":                func(r *http.Request) { r.URL.Path = "" },
		"a path that climbs":      func(r *http.Request) { r.URL.Path = "/v1/../admin" },
		"one that climbs encoded": func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/v1/../admin", "/v1/%2e%2e/admin" },
		"raw path that disagrees and is not used": func(r *http.Request) {
			r.URL.Path, r.URL.RawPath = "/admin/x", "/v1/x"
		},
		"opaque that climbs":                  func(r *http.Request) { r.URL.Opaque = "/v1/x/../../admin" },
		"opaque elsewhere, path within":       func(r *http.Request) { r.URL.Opaque = "/admin" },
		"opaque with another authority":       func(r *http.Request) { r.URL.Opaque = "//evil.test/v1/x" },
		"opaque with its own":                 func(r *http.Request) { r.URL.Opaque = "//" + host + "/v1/x" },
		"opaque in absolute form":             func(r *http.Request) { r.URL.Opaque = "https://" + host + "/v1/x" },
		"opaque without a slash":              func(r *http.Request) { r.URL.Opaque = "v1/x" },
		"opaque star":                         func(r *http.Request) { r.URL.Opaque = "*" },
		"opaque whose query hides the prefix": func(r *http.Request) { r.URL.Opaque = "/admin?/v1/" },
		"opaque with a fragment":              func(r *http.Request) { r.URL.Opaque = "/v1/x#/../../admin" },
		"opaque with a line":                  func(r *http.Request) { r.URL.Opaque = "/v1/x HTTP/1.1\r\nX: y" },
		"http":                                func(r *http.Request) { r.URL.Scheme = "http" },
		"another host":                        func(r *http.Request) { r.URL.Host = "localhost" + port },
		"another port":                        func(r *http.Request) { r.URL.Host = "127.0.0.1:1" },
		"no port":                             func(r *http.Request) { r.URL.Host = "127.0.0.1" },
		"no host":                             func(r *http.Request) { r.URL.Host = "" },
		"a Host header of another":            func(r *http.Request) { r.Host = "evil.test" },
		"a Host header of another port":       func(r *http.Request) { r.Host = "127.0.0.1" },
		"a Host header that is none":          func(r *http.Request) { r.Host = "a/b" },
		"CONNECT":                             func(r *http.Request) { r.Method = "CONNECT" },
		"TRACE":                               func(r *http.Request) { r.Method = "TRACE" },
		"no URL":                              func(r *http.Request) { r.URL = nil },
	} {
		t.Run(name, func(t *testing.T) {
			req := get(t, up.URL+"/v1/x")
			sent := &body{Reader: strings.NewReader("body")}
			req.Body = sent
			change(req)
			if err := do(t, rt, req); !errors.Is(err, inject.ErrRefused) {
				t.Errorf("got %v", err)
			}
			want(t, "sent", up.last() != nil, false)
			want(t, "acquisitions", src.asked, 0)
			want(t, "body closed", sent.closed, true)
		})
	}
}

func TestRequestUnderThePrefixIsSentAsItIs(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, proto string) {
		up := newUpstream(t, proto)
		rt := up.route(t, new(source), inject.Options{Scheme: "Bearer"})
		for target, change := range map[string]func(*http.Request){
			"/v1":             func(r *http.Request) { r.URL.Path = "/v1" },
			"/v1/":            func(r *http.Request) { r.URL.Path = "/v1/" },
			"/v1/a%2Fb?q=%zz": func(r *http.Request) { r.URL.Path, r.URL.RawPath, r.URL.RawQuery = "/v1/a/b", "/v1/a%2Fb", "q=%zz" },
			"/v1/a|b^c":       func(r *http.Request) { r.URL.Opaque = "/v1/a|b^c" },
			"/v1/a|b?x":       func(r *http.Request) { r.URL.Opaque, r.URL.RawQuery = "/v1/a|b", "x" },
			"/v1/host":        func(r *http.Request) { r.URL.Path, r.Host = "/v1/host", r.URL.Host },
		} {
			req := get(t, up.URL)
			req.URL = &url.URL{Scheme: "https", Host: req.URL.Host}
			change(req)
			if err := do(t, rt, req); err != nil {
				t.Errorf("%s: %v", target, err)
				continue
			}
			seen := up.last()
			want(t, "target", seen.RequestURI, target)
			want(t, target, seen.Header.Get("Authorization"), "Bearer the-token")
		}
	})
}

func TestWithoutPrefixesNothingIsSent(t *testing.T) {
	t.Parallel()
	up := newUpstream(t, "HTTP/1.1")
	rt := inject.New(up.Client().Transport, inject.Options{Tokens: newCache(t, new(source))})
	if err := do(t, rt, get(t, up.URL+"/v1/x")); !errors.Is(err, inject.ErrRefused) {
		t.Errorf("got %v", err)
	}
	want(t, "sent", up.last() != nil, false)
}
