package gate

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// raw sends a request byte for byte, as no client library would, and returns
// its answer.
func raw(t *testing.T, f *front, method, target, header string) (*http.Response, string) {
	t.Helper()
	address := strings.TrimPrefix(f.url, "http://")
	conn, err := net.DialTimeout("tcp", address, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute)) // a guard
	if _, err := fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n%s\r\n", method, target, address, header); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s %q: %v", method, target, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %q: %v", method, target, err)
	}
	return res, string(b)
}

func TestNothingButHealthAndMetadataIsServedWithoutAToken(t *testing.T) {
	t.Parallel()
	upstream := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the upstream was asked %s %s", r.Method, r.URL)
	})
	e := standIn(t)
	routes := []Route{{Path: "/mcp", Tools: []Grant{{Pattern: "*"}}}, {Path: "/plain", Allow: true}, {Path: "/", Allow: true, Needs: Needs{Scopes: []string{"use"}}}}
	open := []string{
		"/healthz", "/readyz", "/healthz?x=1", "/%68ealthz", resourceMetadata, resourceMetadata + "/mcp", resourceMetadata + "/plain", resourceMetadata + "?resource=x",
	}
	shimmed := []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server/mcp"}
	closed := []string{
		"/", "/mcp", "/mcp/", "/mcp/x?y", "/plain", "/plain/healthz", "/metrics", "/debug/pprof/", "/status", "/admin", "/favicon.ico", "/robots.txt", "/sse", "/messages?sessionId=1",
		"/healthz/", "/healthz/x", "/healthz/../mcp", "/healthz/..;/mcp", "/healthz%2f..%2fmcp", "/healthz%00", "/healthz;/mcp", "/HEALTHZ", "//healthz", "/mcp//healthz", "/readyz/..",
		resourceMetadata + "/", resourceMetadata + "/x", resourceMetadata + "/../../mcp", resourceMetadata + "/%2e%2e/%2e%2e/mcp", resourceMetadata + "/mcp/..", resourceMetadata + "x",
		"/.well-known/", "/.well-known", "/.well-known/mcp", "/.well-known/security.txt", "/mcp/.well-known/oauth-protected-resource", "/mcp/.well-known/openid-configuration",
		"/authorize/x", "/token/", "/register/..", "/..", "/%2e%2e/", "/mcp\\..", "/mcp%5c..", "/%6dcp", "/mcp%3fx", "/mcp%23", "*", "/mcp?access_token=x",
	}
	for name, o := range map[string]Options{
		"without a shim": {Verify: verdicts, Routes: routes, Authority: e.URL, Tenants: []string{"tenant"}},
		"with a shim":    {Verify: verdicts, Routes: routes, Authority: e.URL, Tenants: []string{"tenant"}, Shim: &Shim{Client: shimClient, HTTP: e.Client()}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o.Routes = slices.Clone(o.Routes)
			o.Done = func(*Request) {} // nobody listens
			f := stand(t, o, upstream.URL)
			public := open
			if o.Shim != nil {
				public = append(slices.Clone(open), shimmed...)
			}
			for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get", "QUERY"} {
				for _, target := range slices.Concat(open, shimmed, closed) {
					res, body := raw(t, f, method, target, "")
					health := strings.Contains(target, "ealthz") || strings.Contains(target, "readyz")
					ok := slices.Contains(public, target) && (method == "GET" || method == "HEAD" || method == "OPTIONS" && !health)
					if (res.StatusCode < 300) != ok || res.StatusCode >= 500 || res.StatusCode < 200 {
						t.Errorf("%s %s: %s %s", method, target, res.Status, body)
					}
				}
			}
			for what, header := range map[string]string{
				"an upgrade":        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
				"h2c":               "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
				"another's headers": "X-Forwarded-User: ada\r\nX-MS-CLIENT-PRINCIPAL-ID: ada\r\nRemote-User: ada\r\nX-Forwarded-For: 127.0.0.1\r\nX-Original-URL: /healthz\r\nX-Rewrite-URL: /healthz\r\n",
				"a cookie":          "Cookie: AppServiceAuthSession=x; access_token=x\r\n",
				"other credentials": "Proxy-Authorization: Bearer " + canary + "\r\nX-Authorization: Bearer " + canary + "\r\n",
				"another method":    "X-HTTP-Method-Override: OPTIONS\r\n",
				"a session":         "Mcp-Session-Id: x\r\n",
			} {
				for _, target := range []string{"/", "/mcp", "/plain/x"} {
					if res, body := raw(t, f, "GET", target, header); res.StatusCode != http.StatusUnauthorized {
						t.Errorf("%s with %s: %s %s", target, what, res.Status, body)
					}
				}
			}
			if n := e.asked.Load(); n != 0 {
				t.Errorf("Entra was asked %d times", n)
			}
		})
	}
}
