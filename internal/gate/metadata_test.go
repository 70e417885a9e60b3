package gate

import (
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

// published are the options of a gate with metadata: two tenants, four routes.
func published() Options {
	return Options{
		PublicURL: &url.URL{Scheme: "https", Host: "mcp.corp.example"},
		Authority: "https://login.example", Tenants: []string{"t1", "t2"}, AppIDURI: "api://gate",
		Verify: verdicts,
		Routes: []Route{
			{Path: "/mcp", Allow: true, Needs: Needs{Scopes: []string{"use", "more"}}}, {Path: "/mcp/deep/", Allow: true, Needs: Needs{Scopes: []string{"deep", "use"}}},
			{Path: "/a b", Allow: true}, {Path: "/", Allow: true, Needs: Needs{Roles: []string{"Reader"}}},
		},
	}
}

// fetch asks the gate without a token.
func (f *front) fetch(t *testing.T, method, path string, header http.Header) (*http.Response, string) {
	t.Helper()
	req := f.request(t, method, path, "")
	req.Host = "mcp.corp.example"
	req.Header = header.Clone()
	return f.do(t, req)
}

func TestMetadataSaysWhatTheResourceIs(t *testing.T) {
	t.Parallel()
	f := stand(t, published(), serve(t, reached).URL)
	const at = "https://mcp.corp.example"
	for path, want := range map[string]resource{
		"":                 {Resource: at, Scopes: []string{"api://gate/deep", "api://gate/more", "api://gate/use"}},
		"/mcp":             {Resource: at + "/mcp", Scopes: []string{"api://gate/use", "api://gate/more"}},
		"/mcp?x=1":         {Resource: at + "/mcp", Scopes: []string{"api://gate/use", "api://gate/more"}},
		"/mcp/deep":        {Resource: at + "/mcp/deep", Scopes: []string{"api://gate/deep", "api://gate/use"}},
		"/a%20b":           {Resource: at + "/a%20b"},
		"?resource=/other": {Resource: at, Scopes: []string{"api://gate/deep", "api://gate/more", "api://gate/use"}},
	} {
		want.AuthorizationServers = []string{"https://login.example/t1/v2.0", "https://login.example/t2/v2.0"}
		want.BearerMethods = []string{"header"}
		res, body := f.fetch(t, http.MethodGet, resourceMetadata+path, http.Header{"Origin": {"https://page.example"}})
		var got resource
		if err := json.Unmarshal([]byte(body), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %s %s, %v", path, res.Status, body, err)
		}
		if h := res.Header; h.Get("Content-Type") != "application/json" || h.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(h.Get("Cache-Control"), "max-age=") || h.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%q: %v", path, h)
		}
		if res, body := f.fetch(t, http.MethodHead, resourceMetadata+path, nil); res.StatusCode != 200 || body != "" || res.ContentLength <= 0 {
			t.Errorf("HEAD %q: %s %q", path, res.Status, body)
		}
	}
}

func TestMetadataIsOfRoutesAndOfTheHostsThatAreServedAlone(t *testing.T) {
	t.Parallel()
	f := stand(t, published(), serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the upstream was asked") }).URL)
	for _, path := range []string{"/mcp/", "/mcp/deeper", "/mc", "/MCP", "/", "//mcp", "/%6dcp", "/a%2520b", "/mcp/../mcp", "/mcp/deep/x", "/other"} {
		if res, body := f.fetch(t, http.MethodGet, resourceMetadata+path, nil); res.StatusCode != http.StatusNotFound || strings.Contains(body, "login.example") {
			t.Errorf("%s: %s %s", path, res.Status, body)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "TRACE", "PROPFIND"} {
		if res, _ := f.fetch(t, method, resourceMetadata, nil); res.StatusCode != http.StatusMethodNotAllowed || res.Header.Get("Allow") != "GET, HEAD, OPTIONS" {
			t.Errorf("%s: %s, %v", method, res.Status, res.Header)
		}
	}
	res, _ := f.fetch(t, http.MethodOptions, resourceMetadata+"/mcp", http.Header{"Origin": {"https://page.example"}, "Access-Control-Request-Method": {"GET"}, "Access-Control-Request-Headers": {"mcp-protocol-version"}})
	if h := res.Header; res.StatusCode != http.StatusNoContent || h.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(h.Get("Access-Control-Allow-Headers"), "Mcp-Protocol-Version") {
		t.Errorf("preflight: %s, %v", res.Status, res.Header)
	}
	req := f.request(t, http.MethodGet, resourceMetadata, "")
	req.Host = "rebound.example"
	if res, body := f.do(t, req); res.StatusCode < 400 || strings.Contains(body, "login.example") {
		t.Errorf("on another host: %s %s", res.Status, body)
	}
}
