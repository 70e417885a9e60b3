package gate

import (
	"bufio"
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"
)

// FuzzPath asks whether servers that read a path in their own ways find a request
// on the side of the route that it was judged by.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{"/mcp/x", "/mcp/..%2fadmin", "/mcp/%252e%252e;a/admin", "/ADMIN;x", "/mcp/a%20b?c=/../", "/admin%3fx", "/mcp/%2523"} {
		f.Add(seed)
	}
	g := &Gate{routes: []*route{{Route: Route{Path: "/admin/deep"}}, {Route: Route{Path: "/admin"}}, {Route: Route{Path: "/mcp/"}}, {Route: Route{Path: "/"}}}}
	sortRoutes(g.routes)
	f.Fuzz(func(t *testing.T, target string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + target + " HTTP/1.1\r\nHost: mcp.example\r\n\r\n")))
		if err != nil || r.URL.IsAbs() {
			return
		}
		clean, deepest, ok := cleanPath(r)
		if !ok {
			return
		}
		chosen := g.routeOf(clean, deepest)
		if chosen == nil {
			return
		}
		raw, _, _ := strings.Cut(r.RequestURI, "?")
		for how, reading := range readings(raw) {
			if by := naive(reading); by != chosen.path() {
				t.Errorf("%q was judged by %q; %s reads %q, which is of %q", target, chosen.Path, how, reading, by)
			}
		}
		u := &upstream{url: &url.URL{Scheme: "http", Host: "u"}}
		if sent := u.target(chosen, r.URL).RequestURI(); sent != r.RequestURI {
			t.Errorf("%q goes upstream as %q", r.RequestURI, sent)
		}
	})
}

// naive is the route of a path in the eyes of somebody who compares beginnings.
func naive(reading string) string {
	for _, prefix := range []string{"/admin/deep", "/admin", "/mcp"} {
		if reading == prefix || strings.HasPrefix(reading, prefix+"/") {
			return prefix
		}
	}
	return ""
}

// readings are what servers make of a raw path.
func readings(raw string) map[string]string {
	all := map[string]string{}
	decoded := raw
	for _, n := range []string{"once", "twice", "three times"} {
		if again, err := url.PathUnescape(decoded); err == nil {
			decoded = again
		}
		all["decoding "+n] = decoded
		all["cleaning what it decoded "+n] = path.Clean(decoded)
		all["cleaning, without case, what it decoded "+n] = strings.ToLower(path.Clean(strings.ReplaceAll(decoded, `\`, "/")))
		all["taking the query off what it decoded "+n] = path.Clean(withoutQuery(decoded))
		all["dropping parameters of what it decoded "+n] = path.Clean(withoutParameters(decoded))
	}
	all["cleaning before it decodes"], _ = url.PathUnescape(path.Clean(raw))
	return all
}

func withoutQuery(p string) string {
	if i := strings.IndexAny(p, "?#"); i >= 0 {
		p = p[:i]
	}
	return p
}

func withoutParameters(p string) string {
	segments := strings.Split(p, "/")
	for i, s := range segments {
		segments[i], _, _ = strings.Cut(s, ";")
	}
	return strings.Join(segments, "/")
}
