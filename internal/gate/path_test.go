package gate

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func TestAPathLeadsToOneRouteHoweverItIsRead(t *testing.T) {
	t.Parallel()
	upstream := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RequestURI) })
	f := stand(t, Options{Routes: []Route{{Path: "/", Allow: true}, {Path: "/admin", Allow: true}, {Path: "/admin/deep/", Allow: true}, {Path: "/mcp", Allow: true}}}, upstream.URL)
	for target, want := range map[string]string{
		"/": "/", "/mcp": "/mcp", "/mcp/": "/mcp", "/mcp/x?a=../..": "/mcp", "/mcpx": "/", "/admin/deep": "/admin/deep/", "/admin/deep/x": "/admin/deep/", "/admin/deeper": "/admin",
		"/mcp/a%20b": "/mcp", "/mcp/a;b=c": "/mcp", "/mcp/%C3%A9": "/mcp", "/mcp/a.b": "/mcp", "/mcp/100%25": "/mcp", "/mcp/a:b@c": "/mcp", "/mcp/*": "/mcp", "/%6dcp": "/mcp", "/mcp/a%252cb": "/mcp", "/mcp/.well-known": "/mcp",

		"/mcp/../admin": "", "/mcp/..": "", "/mcp/./x": "", "/mcp/%2e%2e/admin": "", "/mcp/%2E./admin": "", "/mcp/..;/admin": "", "/mcp/..;x=1/admin": "", "/mcp/.%2e;a/admin": "",
		"/mcp//admin": "", "//admin": "", "//": "", "/mcp/%2f": "", "/mcp%2fadmin": "", "/mcp%2Fx": "", "/mcp/..%2fadmin": "", "/mcp%5cadmin": "", `/mcp\admin`: "", `/mcp/..\admin`: "",
		"/mcp/%00": "", "/mcp/a%0d%0ab": "", "/mcp/%7f": "", "/mcp/%ff": "", "/mcp/%c0%ae%c0%ae/admin": "", "/mcp/%c0%af": "",
		"/mcp/%252e%252e/admin": "", "/mcp/%25252e%25252e/admin": "", "/mcp%252fadmin": "", "/mcp/%255cadmin": "", "/%2525252525252561dmin": "", "/mcp/.%252e;/x": "",
		"/mcp/...": "", "/mcp/%20/x": "", "/mcp/.%20./x": "", "/mcp/..%20/x": "", "/mcp/%ef%bc%8fadmin": "", "/mcp;/..;/admin": "",
		"/ADMIN": "", "/Admin/x": "", "/admin;x": "", "/admin;x=/y": "", "/admin.": "", "/admin%20": "", "/admin%2e": "", "/adm%2569n": "", "/admin/DEEP": "", "/admin;/deep": "", "/%2561dmin": "",
		"/admin%3Fx": "", "/admin%23x": "", "/admin%253Fx": "", "/admin%3F/deep": "", "/admin%C2%A0": "", "/admin%E2%80%8B/x": "", "/admin::$DATA": "", "/admin:x": "", "/mcp/..%3F/admin": "", "/mcp/%3F": "", "/mcp/..%C2%A0/admin": "",
		"/mcp/a%3Fb": "/mcp", "/mcp/%23x/": "", "/mcp/:batch": "/mcp", "/mcp/a%C2%A0b": "/mcp", "/admin/:x": "/admin",
		"/mcp/a|b": "", `/mcp/a"b`: "", "/mcp/<a>": "", "/mcp/{a}": "", "/mcp/a^b": "", "/mcp/\xc3\xa9": "", "/mcp/a#b": "",
	} {
		res, got := f.talk(t, "GET "+target+" HTTP/1.1\r\nHost: "+strings.TrimPrefix(f.url, "http://")+"\r\nAuthorization: Bearer "+canary+"\r\nConnection: close\r\n\r\n")
		switch {
		case want == "":
			if res.StatusCode != 400 && res.StatusCode != 404 {
				t.Errorf("%s: %s, should be refused", target, res.Status)
			}
			continue
		case res.StatusCode != 200 || got != target:
			t.Errorf("%s: %s, the upstream saw %q", target, res.Status, got)
			continue
		}
		done := <-f.done
		for done.Route == "" { // of a request that was refused before
			done = <-f.done
		}
		if done.Route != want {
			t.Errorf("%s went by route %s, want %s", target, done.Route, want)
		}
	}
}

func TestAnUpstreamsPathTakesThePlaceOfTheRoutes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ route, upstream, asked, want string }{
		{"/mcp", "http://u", "/mcp/x%20y?q=%2f", "http://u/mcp/x%20y?q=%2f"},
		{"/mcp", "http://u/api", "/mcp", "http://u/api"},
		{"/mcp", "http://u/api/", "/mcp", "http://u/api/"},
		{"/mcp", "http://u/api/", "/mcp/", "http://u/api/"},
		{"/mcp", "http://u/api", "/mcp/x%20y/?q", "http://u/api/x%20y/?q"},
		{"/mcp/", "http://u/api/", "/mcp/x", "http://u/api/x"},
		{"/team/mcp", "http://u/", "/team/mcp/x", "http://u/x"},
		{"/team/mcp", "http://u/", "/team/mcp", "http://u/"},
		{"/", "http://u/api", "/", "http://u/api"},
		{"/", "http://u/api", "/x", "http://u/api/x"},
		{"/", "http://u", "/", "http://u/"},
		{"/%C3%A9", "http://u/a%20b", "/%c3%a9/x", "http://u/a%20b/x"},
		{"/mcp", "http://u/api", "/%6dcp/%78", "http://u/api/%78"},
		{"/mcp", "http://u/api/", "/mcp/%78", "http://u/api/%78"},
		{"/mcp", "http://u", "http://ada:x@mcp.example/mcp", "http://u/mcp"},
	} {
		path, err := url.PathUnescape(c.route)
		if err != nil {
			t.Fatal(err)
		}
		u := &upstream{url: urls(t, c.upstream)[0]}
		r := httptest.NewRequest(http.MethodGet, c.asked, nil)
		if got := u.target(&route{Route: Route{Path: path}}, r.URL).String(); got != c.want {
			t.Errorf("%s of route %s goes to %s, want %s", c.asked, c.route, got, c.want)
		}
	}
}
