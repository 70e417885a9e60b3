package gate

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/verify"
)

// reached is the answer of upstreams that only have to be reached.
func reached(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{}}`)
}

// verdicts verifies the canary, and cannot tell about the token "later".
func verdicts(_ context.Context, token string) (*verify.Caller, error) {
	switch token {
	case canary:
		return somebody(), nil
	case "later":
		return nil, errors.New("no keys")
	}
	return nil, &verify.Invalid{Reason: "signature", Description: "it is not the canary"}
}

// modes are routes of each mode, and of several scopes.
func modes() Options {
	needs := Needs{Scopes: []string{"use", "more"}}
	return Options{
		AppIDURI: "api://gate", Verify: verdicts,
		Routes: []Route{
			{Path: "/strict", Allow: true, Needs: needs},
			{Path: "/optional", Allow: true, Needs: needs, Mode: Optional},
			{Path: "/permissive", Allow: true, Needs: needs, Mode: Permissive},
		},
	}
}

func TestCredentialsAreReadStrictly(t *testing.T) {
	t.Parallel()
	f := stand(t, modes(), serve(t, reached).URL)
	good, bad := "Bearer "+canary, "Bearer forged"
	for name, tt := range map[string]struct {
		headers []string
		query   string
		want    [3]int // strict, optional, permissive
	}{
		"no token":                 {nil, "", [3]int{401, 200, 200}},
		"a good one":               {[]string{good}, "?a=access_token", [3]int{200, 200, 200}},
		"in lower case":            {[]string{"bearer " + canary}, "", [3]int{200, 200, 200}},
		"with more space":          {[]string{"BEARER   " + canary + "  "}, "", [3]int{200, 200, 200}},
		"a forged one":             {[]string{bad}, "", [3]int{401, 401, 200}},
		"another scheme":           {[]string{"Basic dXNlcjpwYXNz"}, "", [3]int{401, 401, 200}},
		"the scheme alone":         {[]string{"Bearer"}, "", [3]int{400, 400, 200}},
		"nothing":                  {[]string{""}, "", [3]int{401, 401, 200}},
		"padding alone":            {[]string{"Bearer =="}, "", [3]int{400, 400, 200}},
		"two tokens":               {[]string{good + " " + canary}, "", [3]int{400, 400, 200}},
		"two challenges":           {[]string{good + ", " + good}, "", [3]int{400, 400, 200}},
		"a quoted token":           {[]string{`Bearer "` + canary + `"`}, "", [3]int{400, 400, 200}},
		"a token of other letters": {[]string{"Bearer tök\xc3\xa9n"}, "", [3]int{400, 400, 200}},
		"a tab for a space":        {[]string{"Bearer\t" + canary}, "", [3]int{401, 401, 200}},
		"two headers":              {[]string{good, bad}, "", [3]int{400, 400, 400}},
		"the same header twice":    {[]string{good, good}, "", [3]int{400, 400, 400}},
		"keys are not at hand":     {[]string{"Bearer later"}, "", [3]int{503, 503, 503}},
		"in the query, too":        {[]string{good}, "?access_token=" + canary, [3]int{400, 400, 400}},
		"in the query":             {nil, "?x=1&access_token=" + canary, [3]int{400, 400, 400}},
		"in the query, encoded":    {nil, "?%61ccess%5ftoken=x", [3]int{400, 400, 400}},
		"in the query, folded":     {nil, "?Access_Token=x", [3]int{400, 400, 400}},
		"behind a semicolon":       {nil, "?x=1;access_token=x", [3]int{400, 400, 400}},
		"in the query, empty":      {nil, "?access_token", [3]int{400, 400, 400}},
		"in a list of the query":   {nil, "?access_token[]=x", [3]int{400, 400, 400}},
		"in a map of the query":    {nil, "?a=b&access_token%5B0%5D=x", [3]int{400, 400, 400}},
		"with a dot":               {nil, "?access.token=x", [3]int{400, 400, 400}},
		"with a blank":             {nil, "?access+token=x", [3]int{400, 400, 400}},
		"cut off at NUL":           {nil, "?access_token%00a=x", [3]int{400, 400, 400}},
		"encoded twice":            {nil, "?access%255Ftoken=x", [3]int{400, 400, 400}},
		"under another name":       {[]string{good}, "?t=" + canary, [3]int{400, 400, 400}},
		"as a part, encoded":       {[]string{good}, "?t=x" + strings.ReplaceAll(canary, "-", "%2D") + "x", [3]int{400, 400, 400}},
		"in the path":              {[]string{good}, "/x/" + canary, [3]int{400, 400, 400}},
		"one more like it":         {nil, "?access_tokens=x&xaccess_token=x&a=%zz", [3]int{401, 200, 200}},
	} {
		for i, path := range []string{"/strict", "/optional", "/permissive"} {
			req := f.request(t, http.MethodGet, path+tt.query, "")
			req.Header["Authorization"] = tt.headers
			res, body := f.do(t, req)
			seen := <-f.done
			if res.StatusCode != tt.want[i] || seen.Allowed != (tt.want[i] == 200) || seen.Anonymous != (seen.Allowed && seen.Caller == nil) {
				t.Errorf("%s at %s: %s, want %d; told of %+v", name, path, res.Status, tt.want[i], seen)
			}
			if said := body + res.Header.Get("WWW-Authenticate"); strings.Contains(said, canary) || strings.Contains(said, "forged") {
				t.Errorf("%s at %s: the credentials are repeated: %s", name, path, said)
			}
			if (res.StatusCode == 503) != (res.Header.Get("Retry-After") != "") || res.StatusCode == 503 && res.Header.Get("WWW-Authenticate") != "" {
				t.Errorf("%s at %s: %v", name, path, res.Header)
			}
		}
	}
}

func TestChallengeSaysWhereToGetAToken(t *testing.T) {
	t.Parallel()
	o := modes()
	o.Routes = append(o.Routes, Route{Path: "/a b/", Allow: true})
	o.PublicURL = &url.URL{Scheme: "https", Host: "mcp.corp.example"}
	f := stand(t, o, serve(t, reached).URL)
	const (
		metadata = `resource_metadata="https://mcp.corp.example/.well-known/oauth-protected-resource/strict"`
		scope    = `scope="api://gate/use api://gate/more"`
	)
	for name, tt := range map[string]struct{ path, header, want string }{
		"no token":       {"/strict/x?y=%22", "", `Bearer ` + metadata + `, ` + scope},
		"another scheme": {"/strict", "Basic eA==", `Bearer ` + metadata + `, ` + scope},
		"a forged one":   {"/strict", "Bearer x", `Bearer error="invalid_token", error_description="it is not the canary", ` + metadata + `, ` + scope},
		"not a token":    {"/strict", "Bearer", `Bearer error="invalid_request", error_description="The Authorization header holds no token"`},
		"without scopes": {"/a%20b/c", "", `Bearer resource_metadata="https://mcp.corp.example/.well-known/oauth-protected-resource/a%20b"`},
		"keys missing":   {"/strict", "Bearer later", ""},
	} {
		req := f.request(t, http.MethodPost, tt.path, callEcho)
		req.Host = "mcp.corp.example"
		if req.Header.Set("Authorization", tt.header); tt.header == "" {
			req.Header.Del("Authorization")
		}
		res, body := f.do(t, req)
		if got := res.Header.Get("WWW-Authenticate"); got != tt.want {
			t.Errorf("%s: %s\n got %s\nwant %s", name, res.Status, got, tt.want)
		}
		if res.Header.Get("Content-Type") != "application/problem+json" || res.Header.Get("Cache-Control") != "no-store" || !strings.Contains(body, `"title"`) {
			t.Errorf("%s: %v, %s", name, res.Header, body)
		}
	}
}

func TestChallengeHoldsNothingThatEndsAString(t *testing.T) {
	t.Parallel()
	got := param("error_description", "a \"b\" c\\d\r\nSet-Cookie: x\x00é")
	if want := `error_description="a  b  c d  Set-Cookie: x  "`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// unread is a body that nobody may read.
type unread struct{ t *testing.T }

func (b unread) Read([]byte) (int, error) { b.t.Error("the body was read"); return 0, io.EOF }
func (unread) Close() error               { return nil }

func TestTheBodyOfAStrangerIsNotRead(t *testing.T) {
	t.Parallel()
	f := stand(t, modes(), serve(t, reached).URL)
	for _, credentials := range []string{"", "Bearer forged", "Bearer later", "Bearer", "Basic x"} {
		r := httptest.NewRequest(http.MethodPost, f.url+"/strict", unread{t})
		r.ContentLength = 10
		r.Header.Set("Content-Type", "application/json")
		if r.Header.Set("Authorization", credentials); credentials == "" {
			r.Header.Del("Authorization")
		}
		w := httptest.NewRecorder()
		f.ServeHTTP(w, r)
		if w.Code < 400 {
			t.Errorf("%q: status %d", credentials, w.Code)
		}
	}
}

// TestWhatIsWrongWithATokenIsTold holds that it is, also of one without which the
// request goes on, and whom it came from.
func TestWhatIsWrongWithATokenIsTold(t *testing.T) {
	t.Parallel()
	upstream := serve(t, func(http.ResponseWriter, *http.Request) {})
	for mode, status := range map[Mode]int{Strict: 401, Permissive: 200} {
		f := stand(t, Options{Routes: []Route{{Path: "/", Allow: true, Mode: mode}}}, upstream.URL)
		for token, want := range map[string]string{canary: "", "forged": "signature", "two words": verify.Malformed} {
			req := f.request(t, "GET", "/", "")
			req.Header.Set("Authorization", "Bearer "+token)
			req.Header.Set("X-Forwarded-For", "203.0.113.9")
			res, _ := f.do(t, req)
			done := <-f.done
			if done.Invalid != want || done.Remote != "127.0.0.1" || want == "signature" && res.StatusCode != status {
				t.Errorf("mode %d, %s: %s, told of %+v", mode, token, res.Status, done)
			}
		}
	}
}
