package gate

import (
	"net/http"
	"strings"
	"testing"
)

// TestWhatIsNoMessageIsAStreamOrAnEnd holds where messages are decided on.
func TestWhatIsNoMessageIsAStreamOrAnEnd(t *testing.T) {
	t.Parallel()
	upstream, got := recorder(t)
	f := stand(t, Options{Routes: []Route{{Path: "/", Mode: Optional, Tools: []Grant{grant("*", Needs{})}}, {Path: "/plain", Mode: Optional, Allow: true}}}, upstream)
	for _, c := range []struct {
		method, path, accept, session string
		status                        int
		says                          string
	}{
		{"GET", "/api/users/5?action=wipe", "", "", 406, "Accept: text/event-stream"},
		{"GET", "/", "*/*", "", 406, "Accept: text/event-stream"},
		{"GET", "/", "application/json", "", 406, ""},
		{"GET", "/", "text/event-stream", "", 200, ""},
		{"GET", "/sse", "application/json, Text/Event-Stream;q=0.5", "", 200, ""},
		{"DELETE", "/api/users/5?action=wipe", "", "", 400, "Mcp-Session-Id"},
		{"DELETE", "/?sessionId=x", "text/event-stream", "", 400, "Mcp-Session-Id"},
		{"DELETE", "/", "", "unknown", 404, ""},
		{"GET", "/plain/x", "", "", 200, ""},
		{"DELETE", "/plain/x", "", "", 200, ""},
	} {
		req := f.request(t, c.method, c.path, "")
		req.Header.Del("Authorization")
		req.Header.Del("Accept")
		req.Header.Del(headerSession)
		for name, value := range map[string]string{"Accept": c.accept, headerSession: c.session} {
			if value != "" {
				req.Header.Set(name, value)
			}
		}
		res, body := f.do(t, req)
		if res.StatusCode != c.status || !strings.Contains(body, c.says) || (len(got) == 1) != (c.status == 200) {
			t.Errorf("%s %s, %q: %d %s, %d passed on", c.method, c.path, c.accept, res.StatusCode, body, len(got))
		}
		for len(got) > 0 {
			<-got
		}
	}
	f = judging(t, func(o *Options) { o.Routes[0].Mode = Strict }, upstream)
	req := f.request(t, http.MethodGet, "/", "")
	req.Header.Del("Authorization")
	req.Header.Del("Accept")
	if res, _ := f.do(t, req); res.StatusCode != http.StatusUnauthorized || res.Header.Get("WWW-Authenticate") == "" {
		t.Errorf("one who asks how to sign in hears %d", res.StatusCode)
	}
}
