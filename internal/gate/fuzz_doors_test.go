package gate

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/verify"
)

// credentials is what a header with a token looks like (RFC 6750, section 2.1).
var credentials = regexp.MustCompile(`(?i)^bearer +([a-z0-9\-._~+/]+=*)$`)

// FuzzCredentials: whoever gets in has shown the token in the one place for it.
func FuzzCredentials(f *testing.F) {
	f.Add("Bearer "+canary, "x=1")
	f.Add("bearer   "+canary, "")
	f.Add("Bearer "+canary+", Bearer "+canary, "a&b=access_token")
	f.Add("Bearer "+canary, "x=1;access%5Ftoken=y")
	f.Add("Basic eA==", "%zz=1&ACCESS_TOKEN")
	f.Fuzz(func(t *testing.T, header, query string) {
		shown := ""
		g := &Gate{o: Options{PublicURL: &url.URL{Scheme: "https", Host: "mcp.corp.example"}, AppIDURI: "api://gate", Verify: func(_ context.Context, token string) (*verify.Caller, error) {
			if shown = token; token != canary {
				return nil, &verify.Invalid{Reason: "signature", Description: "it is not the canary"}
			}
			return somebody(), nil
		}}}
		r := httptest.NewRequest(http.MethodGet, "/mcp", nil)
		r.URL.RawQuery, r.Header["Authorization"] = query, []string{header}
		w := httptest.NewRecorder()
		x := &exchange{w: w, r: r, seen: &Request{}, route: &route{Route: Route{Path: "/mcp"}}}
		in := g.authenticate(x)
		m := credentials.FindStringSubmatch(header)
		if shown != "" && (m == nil || m[1] != shown) {
			t.Errorf("%q: the verifier saw %q", header, shown)
		}
		if in && shown != canary || in == (w.Code >= 400) {
			t.Errorf("%q: let in: %v, status %d", header, in, w.Code)
		}
		if in && queried(query) {
			t.Errorf("%q: let in with a token in the query", query)
		}
		if said := w.Header().Get("WWW-Authenticate"); !in && !strings.HasPrefix(said, "Bearer ") {
			t.Errorf("%q: %q", header, said)
		}
	})
}

// queried reads the query as lenient servers do.
func queried(query string) bool {
	for name := range url.Values(lenientQuery(query)) {
		if strings.EqualFold(name, "access_token") {
			return true
		}
	}
	return false
}

func lenientQuery(query string) url.Values {
	values, _ := url.ParseQuery(strings.ReplaceAll(query, ";", "&")) // what it can read of it
	return values
}

// FuzzAuthorize: the browser is sent to Entra with one client and a challenge, and
// without a resource, or nowhere.
func FuzzAuthorize(f *testing.F) {
	f.Add(authorization(nil).Encode())
	f.Add(authorization(nil).Encode() + "&resource=x&resource=y")
	f.Add(authorization(map[string]string{"redirect_uri": "javascript:alert(1)"}).Encode())
	f.Add("client_id=" + shimClient + "&client_id=x")
	f.Add(authorization(map[string]string{"Client_Id": "x", "tenant": "y"}).Encode())
	f.Add("%zz;=")
	const to = "https://login.example/tenant/oauth2/v2.0/authorize?"
	g := &Gate{o: Options{
		PublicURL: &url.URL{Scheme: "https", Host: "mcp.corp.example"}, Authority: "https://login.example", Tenants: []string{"tenant"},
		Shim: &Shim{Client: shimClient}, Log: slog.New(slog.DiscardHandler),
	}}
	f.Fuzz(func(t *testing.T, query string) {
		r := httptest.NewRequest(http.MethodGet, "/authorize", nil)
		r.URL.RawQuery = query
		w := httptest.NewRecorder()
		if !g.public(&exchange{w: w, r: r, seen: &Request{}}) {
			t.Fatal("not answered")
		}
		location := w.Header().Get("Location")
		if w.Code == http.StatusBadRequest {
			if location != "" || w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("%q: refused, and sent to %q", query, location)
			}
			return
		}
		sent, ok := strings.CutPrefix(location, to)
		values, err := url.ParseQuery(sent)
		if w.Code != http.StatusFound || !ok || err != nil || strings.ContainsAny(location, "\r\n") {
			t.Fatalf("%q: %d, sent to %q, %v", query, w.Code, location, err)
		}
		back, err := url.Parse(values.Get("redirect_uri"))
		if err != nil || back.Scheme == "javascript" || back.Scheme == "http" && back.Hostname() != "localhost" && back.Hostname() != "127.0.0.1" && back.Hostname() != "::1" {
			t.Errorf("%q: back to %v, %v", query, back, err)
		}
		for name, all := range values {
			if len(all) != 1 || !slices.Contains(authorizeParameters, name) {
				t.Errorf("%q: %s is %q", query, name, all)
			}
		}
		if !strings.EqualFold(values.Get("client_id"), shimClient) || values.Get("code_challenge_method") != "S256" || len(values.Get("code_challenge")) != 43 || values.Get("response_type") != "code" {
			t.Errorf("%q: sent %v", query, values)
		}
	})
}
