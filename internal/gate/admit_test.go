package gate

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/verify"
)

// granted makes a token's text what it grants: "scope+scope/role+role".
func granted(_ context.Context, token string) (*verify.Caller, error) {
	scopes, roles, _ := strings.Cut(token, "/")
	split := func(s string) []string { return strings.FieldsFunc(s, func(r rune) bool { return r == '+' }) }
	return &verify.Caller{Tenant: "t", Object: "o", Scopes: split(scopes), Roles: split(roles), Expires: time.Now().Add(time.Hour)}, nil
}

func TestRouteAdmitsByAnyScopeOrRole(t *testing.T) {
	t.Parallel()
	both := Needs{Scopes: []string{"use", "more"}, Roles: []string{"Reader", "Writer"}}
	f := stand(t, Options{AppIDURI: "api://gate", Verify: granted, Routes: []Route{
		{Path: "/any", Allow: true}, {Path: "/both", Allow: true, Needs: both}, {Path: "/permissive", Allow: true, Needs: both, Mode: Permissive},
		{Path: "/users", Allow: true, Needs: Needs{Scopes: both.Scopes}}, {Path: "/apps", Allow: true, Needs: Needs{Roles: both.Roles}},
	}}, serve(t, reached).URL)
	for _, tt := range []struct {
		path, token, want string // the word of the denial; "" is admission
	}{
		{"/any", "x/", ""}, {"/any", "/x", ""}, {"/any", "/", "no-permission"},
		{"/both", "more/", ""}, {"/both", "/Writer", ""}, {"/both", "x/Reader", ""}, {"/both", "use/x", ""},
		{"/both", "x/", "scope"}, {"/both", "x/x", "scope"}, {"/both", "/x", "role"}, {"/both", "/", "no-permission"},
		{"/both", "USE/", "scope"}, {"/both", "/reader", "role"}, {"/both", "Reader/use", "scope"}, {"/both", "us/", "scope"},
		{"/permissive", "x/", "scope"}, {"/permissive", "/", "no-permission"},
		{"/users", "use/", ""}, {"/users", "/use", "role"}, {"/users", "x/", "scope"},
		{"/apps", "/Reader", ""}, {"/apps", "Reader/", "role"}, {"/apps", "/x", "role"},
	} {
		req := f.request(t, http.MethodPost, tt.path, callEcho)
		req.Header.Set("Authorization", "Bearer "+tt.token)
		res, body := f.do(t, req)
		seen := <-f.done
		if seen.Denied != tt.want || seen.Allowed != (tt.want == "") {
			t.Errorf("%s with %s: denied %q, want %q", tt.path, tt.token, seen.Denied, tt.want)
		}
		challenge := ""
		status := http.StatusOK // what only a role could mend reads as an answer
		if tt.want == "scope" {
			status = http.StatusForbidden
			challenge = `Bearer error="insufficient_scope", error_description="The access token lacks a scope", resource_metadata="` +
				f.url + `/.well-known/oauth-protected-resource` + tt.path + `", scope="api://gate/use api://gate/more"`
		}
		if res.StatusCode != status || res.Header.Get("WWW-Authenticate") != challenge {
			t.Errorf("%s with %s: %s, %s", tt.path, tt.token, res.Status, res.Header.Get("WWW-Authenticate"))
		}
		if users := strings.Contains(body, "Only users"); users != (tt.want == "role" && tt.path == "/users") {
			t.Errorf("%s with %s: %s", tt.path, tt.token, body)
		}
		if tt.want != "" && (!strings.HasPrefix(body, `{"jsonrpc":"2.0","id":1,"error":`) || !strings.Contains(body, "What is needed is") && !strings.Contains(body, "Only users")) {
			t.Errorf("%s with %s: %s", tt.path, tt.token, body)
		}
	}
}

func TestRefusalAnswersTheRequestsOfAShortMessage(t *testing.T) {
	t.Parallel()
	f := stand(t, Options{AppIDURI: "api://gate", Verify: granted, Routes: []Route{{Path: "/", Allow: true, Needs: Needs{Roles: []string{"Reader"}}}}}, serve(t, reached).URL)
	long := `{"jsonrpc":"2.0","id":1,"method":"x","params":["` + strings.Repeat("x", peeked) + `"]}`
	for name, tt := range map[string]struct {
		method, body string
		chunked      bool
		status       int
		want         []string // what an answer to requests begins with; none: a problem document
	}{
		"a request":      {"POST", callEcho, false, 200, []string{`{"jsonrpc":"2.0","id":1,"error":`}},
		"a batch":        {"POST", `[{"jsonrpc":"2.0","id":"a","method":"x"},{"jsonrpc":"2.0","method":"n"},{"jsonrpc":"2.0","id":2,"method":"x"}]`, false, 200, []string{`[{"jsonrpc":"2.0","id":"a","error":`, `,{"jsonrpc":"2.0","id":2,"error":`}},
		"a notification": {"POST", `{"jsonrpc":"2.0","method":"notifications/initialized"}`, false, 403, nil},
		"a response":     {"POST", `{"jsonrpc":"2.0","id":1,"result":{}}`, false, 403, nil},
		"two ids":        {"POST", `{"jsonrpc":"2.0","id":1,"id":2,"method":"x"}`, false, 403, nil},
		"no JSON":        {"POST", `hello`, false, 403, nil},
		"a long one":     {"POST", long, false, 403, nil},
		"of no length":   {"POST", callEcho, true, 403, nil},
		"a GET":          {"GET", "", false, 403, nil},
		"a DELETE":       {"DELETE", "", false, 403, nil},
	} {
		req := f.request(t, tt.method, "/mcp", tt.body)
		req.Header.Set("Authorization", "Bearer /Writer")
		if tt.chunked {
			req.Body, req.ContentLength = io.NopCloser(strings.NewReader(tt.body)), -1
		}
		res, body := f.do(t, req)
		if res.StatusCode != tt.status || res.Header.Get("WWW-Authenticate") != "" {
			t.Errorf("%s: %s, %v", name, res.Status, res.Header)
		}
		if tt.want == nil && !strings.HasPrefix(body, `{"type":"urn:injectproxy:problem:no-role"`) {
			t.Errorf("%s: %s", name, body)
		}
		for _, w := range tt.want {
			if !strings.Contains(body, w) {
				t.Errorf("%s: %s, want %s", name, body, w)
			}
		}
	}
}
