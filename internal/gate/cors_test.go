package gate

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

func TestPagesNeedTheirOriginListed(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	upstream := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Access-Control-Allow-Origin", "*") // of a server that lets in everybody
		w.Header().Set("Access-Control-Allow-Credentials", "true")
		w.Header().Set("Vary", "Accept")
		reached(w, r)
	})
	f := stand(t, Options{Verify: verdicts, Routes: []Route{
		{Path: "/pages", Allow: true, Origins: []string{"https://App.corp.example", "https://two.example:8443", "vscode-webview://x"}},
		{Path: "/none", Allow: true}, {Path: "/null", Allow: true, Origins: []string{"null"}}, {Path: "/open", Allow: true, Mode: Optional, Origins: []string{"https://app.corp.example"}},
	}}, upstream.URL)
	for _, tt := range []struct {
		path    string
		origins []string
		ok      bool
	}{
		{"/pages", nil, true}, {"/none", nil, true},
		{"/pages", []string{"https://app.corp.example"}, true}, {"/pages", []string{"https://two.example:8443"}, true}, {"/pages", []string{"vscode-webview://x"}, true},
		{"/null", []string{"null"}, true}, {"/open", []string{"https://app.corp.example"}, true},
		{"/pages", []string{"http://app.corp.example"}, false}, {"/pages", []string{"https://app.corp.example:443"}, false}, {"/pages", []string{"https://app.corp.example.evil.example"}, false},
		{"/pages", []string{"https://evil.example/https://app.corp.example"}, false}, {"/pages", []string{"https://two.example"}, false}, {"/pages", []string{"https://x.app.corp.example"}, false},
		{"/pages", []string{"null"}, false}, {"/pages", []string{""}, false}, {"/pages", []string{"*"}, false},
		{"/pages", []string{"https://app.corp.example", "https://evil.example"}, false}, {"/pages", []string{"https://app.corp.example https://evil.example"}, false},
		{"/none", []string{"https://app.corp.example"}, false}, {"/none", []string{"null"}, false}, {"/none", []string{f.url}, false}, {"/open", []string{"https://evil.example"}, false},
	} {
		for _, method := range []string{"GET", "POST", "DELETE", "OPTIONS"} {
			body := ""
			if method == "POST" {
				body = callEcho
			}
			req := f.request(t, method, tt.path+"/x", body)
			req.Header["Origin"] = tt.origins
			preflight := method == "OPTIONS"
			if preflight {
				req.Header.Del("Authorization")
				req.Header.Set("Access-Control-Request-Method", "POST")
			}
			if preflight && tt.origins == nil {
				continue // no preflight, and not of the methods that need a page
			}
			before := asked.Load()
			res, said := f.do(t, req)
			seen := <-f.done
			passed := asked.Load() > before
			if passed != (tt.ok && !preflight) {
				t.Errorf("%s %s from %q: %s, passed on: %v", method, tt.path, tt.origins, res.Status, passed)
			}
			h := res.Header
			if tt.ok && tt.origins != nil && (h.Get("Access-Control-Allow-Origin") != tt.origins[0] || len(h["Access-Control-Allow-Origin"]) != 1 || !strings.Contains(strings.Join(h["Vary"], ","), "Origin")) ||
				tt.path != "/none" && h.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s %s from %q: %s %v", method, tt.path, tt.origins, res.Status, h)
			}
			if tt.ok && tt.origins != nil && !preflight && !strings.Contains(h.Get("Access-Control-Expose-Headers"), "Mcp-Session-Id") {
				t.Errorf("%s %s from %q: %v", method, tt.path, tt.origins, h)
			}
			if !tt.ok && (res.StatusCode != http.StatusForbidden || h.Get("Access-Control-Allow-Origin") != "" || h.Get("WWW-Authenticate") != "" || seen.Denied != "origin") {
				t.Errorf("%s %s from %q: %s %v, denied %q: %s", method, tt.path, tt.origins, res.Status, h, seen.Denied, said)
			}
		}
	}
}

func TestPreflightIsAnsweredWithoutAToken(t *testing.T) {
	t.Parallel()
	upstream := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the preflight was passed on") })
	f := stand(t, Options{Verify: verdicts, Routes: []Route{{Path: "/mcp", Tools: []Grant{{Pattern: "x"}}, Origins: []string{"https://app.corp.example"}}}}, upstream.URL)
	req := f.request(t, http.MethodOptions, "/mcp", "")
	req.Header = http.Header{"Origin": {"https://app.corp.example"}, "Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"authorization,content-type,mcp-session-id,mcp-param-region, Mcp-Param-a.b,mcp-param-,mcp-param-a/b,mcp-param-a b,x-evil"}}
	res, body := f.do(t, req)
	allowed := ", " + strings.ToLower(res.Header.Get("Access-Control-Allow-Headers")) + ","
	for _, name := range []string{"authorization", "content-type", "mcp-session-id", "mcp-protocol-version", "mcp-method", "mcp-name", "last-event-id", "mcp-param-region", "mcp-param-a.b"} {
		if !strings.Contains(allowed, ", "+name+",") {
			t.Errorf("pages may not send %s: %s", name, allowed)
		}
	}
	if strings.Contains(allowed, "evil") || strings.Count(allowed, "mcp-param") != 2 {
		t.Errorf("pages may send more than they should: %s", allowed)
	}
	if res.StatusCode != http.StatusNoContent || body != "" || res.Header.Get("Access-Control-Allow-Methods") != "GET, POST, DELETE" {
		t.Errorf("%s %v %s", res.Status, res.Header, body)
	}
}

func TestRefusalsCanBeReadByPagesOfAnAllowedOrigin(t *testing.T) {
	t.Parallel()
	f := stand(t, Options{Verify: verdicts, Routes: []Route{{Path: "/mcp", Allow: true, Origins: []string{"https://app.corp.example"}}}}, serve(t, reached).URL)
	req := f.request(t, http.MethodPost, "/mcp", callEcho)
	req.Header.Del("Authorization")
	req.Header.Set("Origin", "https://app.corp.example")
	res, _ := f.do(t, req)
	if h := res.Header; res.StatusCode != 401 || h.Get("Access-Control-Allow-Origin") != "https://app.corp.example" || !strings.Contains(h.Get("Access-Control-Expose-Headers"), "WWW-Authenticate") {
		t.Errorf("%s %v", res.Status, h)
	}
}
