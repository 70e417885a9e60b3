package gate

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

const (
	shimClient = "58348f96-645d-4a2e-8c1d-000000000000"
	s256       = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM" // RFC 7636, appendix B
	answered   = `{"token_type":"Bearer","access_token":"secret-of-a-test"}`
)

// entraAt stands for Entra's token endpoint, and remembers the last request.
type entraAt struct {
	*httptest.Server
	asked  atomic.Int64
	form   atomic.Pointer[url.Values]
	header atomic.Pointer[http.Header]
	answer http.HandlerFunc
}

func standIn(t *testing.T) *entraAt {
	t.Helper()
	e := &entraAt{answer: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answered) }}
	e.Server = serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.String() != "/tenant/oauth2/v2.0/token" || r.ParseForm() != nil {
			t.Errorf("Entra was asked %s %s", r.Method, r.URL)
		}
		e.asked.Add(1)
		e.form.Store(&r.PostForm)
		e.header.Store(&r.Header)
		e.answer(w, r)
	})
	return e
}

// shimmed is a gate with a shim in front of e.
func shimmed(t *testing.T, e *entraAt) *front {
	t.Helper()
	o := Options{
		PublicURL: &url.URL{Scheme: "https", Host: "mcp.corp.example"}, AppIDURI: "api://gate", Verify: verdicts,
		Authority: e.URL, Tenants: []string{"tenant"}, Shim: &Shim{Client: shimClient, HTTP: e.Client()},
		Routes: []Route{{Path: "/mcp", Allow: true, Needs: Needs{Scopes: []string{"use"}}}, {Path: "/b", Allow: true, Needs: Needs{Scopes: []string{"b"}}}},
	}
	return stand(t, o, serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the upstream was asked") }).URL)
}

// edited returns values with some replaced; "" takes one away.
func edited(values url.Values, edit map[string]string) url.Values {
	for name, value := range edit {
		if values.Set(name, value); value == "" {
			values.Del(name)
		}
	}
	return values
}

func authorization(edit map[string]string) url.Values {
	return edited(url.Values{
		"client_id": {shimClient}, "response_type": {"code"}, "redirect_uri": {"http://localhost:1234/callback"}, "state": {`a "state"&`},
		"scope": {"api://gate/use"}, "code_challenge": {s256}, "code_challenge_method": {"S256"}, "resource": {"https://mcp.corp.example/mcp"},
	}, edit)
}

func TestShimSaysWhatClientsLookFor(t *testing.T) {
	t.Parallel()
	e := standIn(t)
	f := shimmed(t, e)
	for _, path := range []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server/mcp", "/.well-known/openid-configuration/b"} {
		res, body := f.fetch(t, http.MethodGet, path, nil)
		var got map[string]any
		if err := json.Unmarshal([]byte(body), &got); err != nil || res.StatusCode != 200 || res.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Fatalf("%s: %s %s", path, res.Status, body)
		}
		for name, want := range map[string]string{
			"issuer": "https://mcp.corp.example", "authorization_endpoint": "https://mcp.corp.example/authorize", "token_endpoint": "https://mcp.corp.example/token",
			"registration_endpoint": "https://mcp.corp.example/register", "jwks_uri": e.URL + "/tenant/discovery/v2.0/keys",
		} {
			if got[name] != want {
				t.Errorf("%s: %s is %v, want %s", path, name, got[name], want)
			}
		}
		for _, part := range []string{`"code_challenge_methods_supported":["S256"]`, `"token_endpoint_auth_methods_supported":["none"]`, `"grant_types_supported":["authorization_code","refresh_token"]`, `"scopes_supported":["api://gate/b","api://gate/use","openid","profile"]`} {
			if !strings.Contains(body, part) {
				t.Errorf("%s: %s is missing in %s", path, part, body)
			}
		}
	}
	if _, body := f.fetch(t, http.MethodGet, resourceMetadata+"/mcp", nil); !strings.Contains(body, `"authorization_servers":["https://mcp.corp.example"]`) {
		t.Errorf("the resource names another authorization server: %s", body)
	}
	for _, path := range []string{"/.well-known/oauth-authorization-server/x", "/.well-known/openid-configuration/mcp/", "/.well-known/oauth-authorization-serverx", "/authorize/", "/token/x", "/Register"} {
		if res, body := f.fetch(t, http.MethodGet, path, nil); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s %s", path, res.Status, body)
		}
	}
}

func TestAuthorizationGoesToEntraAndNowhereElse(t *testing.T) {
	t.Parallel()
	e := standIn(t)
	f := shimmed(t, e)
	for name, tt := range map[string]struct {
		edit  map[string]string
		more  string
		error string // "": sent to Entra
	}{
		"as it should be":      {nil, "", ""},
		"with hints":           {map[string]string{"prompt": "login", "login_hint": "ada@corp.example", "domain_hint": "corp.example", "nonce": "n", "claims": "{}", "response_mode": "form_post"}, "", ""},
		"two resources":        {nil, "&resource=x", ""},
		"what is of no use":    {map[string]string{"tenant": "other", "request": "x", "request_uri": "https://evil.example/", "code_challenge\x00": "x", "client_secret": "x", "Nothing": "x"}, "", ""},
		"another challenge":    {map[string]string{"Code_Challenge_Method": "plain"}, "", invalidRequest},
		"another client, too":  {map[string]string{"CLIENT_ID": "58348f96-645d-4a2e-8c1d-111111111111"}, "", invalidRequest},
		"another type, too":    {map[string]string{"RESPONSE_TYPE": "token"}, "", invalidRequest},
		"https":                {map[string]string{"redirect_uri": "https://claude.example/cb"}, "", ""},
		"a scheme of its own":  {map[string]string{"redirect_uri": "cursor://anysphere.cursor/oauth"}, "", ""},
		"loopback v6":          {map[string]string{"redirect_uri": "http://[::1]:99/"}, "", ""},
		"another client":       {map[string]string{"client_id": "58348f96-645d-4a2e-8c1d-111111111111"}, "", "unauthorized_client"},
		"no client":            {map[string]string{"client_id": ""}, "", "unauthorized_client"},
		"a token at once":      {map[string]string{"response_type": "token"}, "", "unsupported_response_type"},
		"hybrid":               {map[string]string{"response_type": "code id_token"}, "", "unsupported_response_type"},
		"no challenge":         {map[string]string{"code_challenge": ""}, "", invalidRequest},
		"a plain challenge":    {map[string]string{"code_challenge_method": "plain"}, "", invalidRequest},
		"no method":            {map[string]string{"code_challenge_method": ""}, "", invalidRequest},
		"a short challenge":    {map[string]string{"code_challenge": s256[:42]}, "", invalidRequest},
		"no base64url":         {map[string]string{"code_challenge": s256[:42] + "+"}, "", invalidRequest},
		"plain http":           {map[string]string{"redirect_uri": "http://evil.example/"}, "", invalidRequest},
		"a host like this one": {map[string]string{"redirect_uri": "http://localhost.evil.example/"}, "", invalidRequest},
		"userinfo":             {map[string]string{"redirect_uri": "http://localhost@evil.example/"}, "", invalidRequest},
		"script":               {map[string]string{"redirect_uri": "javascript:alert(1)//"}, "", invalidRequest},
		"script, folded":       {map[string]string{"redirect_uri": "JavaScript:alert(1)"}, "", invalidRequest},
		"data":                 {map[string]string{"redirect_uri": "data:text/html,<script>"}, "", invalidRequest},
		"relative":             {map[string]string{"redirect_uri": "//evil.example/"}, "", invalidRequest},
		"a fragment":           {map[string]string{"redirect_uri": "https://a.example/#x"}, "", invalidRequest},
		"an empty fragment":    {map[string]string{"redirect_uri": "https://a.example/#"}, "", invalidRequest},
		"no redirect":          {map[string]string{"redirect_uri": ""}, "", invalidRequest},
		"two clients":          {nil, "&client_id=" + shimClient, invalidRequest},
		"two redirects":        {nil, "&redirect_uri=https://evil.example/", invalidRequest},
		"semicolons":           {nil, "&a=1;b=2", invalidRequest},
		"a broken escape":      {nil, "&a=%zz", invalidRequest},
	} {
		query := authorization(tt.edit)
		res, body := f.fetch(t, http.MethodGet, "/authorize?"+query.Encode()+tt.more, nil)
		if tt.error != "" {
			if res.StatusCode != http.StatusBadRequest || res.Header.Get("Location") != "" || !strings.HasPrefix(body, `{"error":"`+tt.error+`"`) ||
				res.Header.Get("Content-Type") != "application/json" || res.Header.Get("X-Content-Type-Options") != "nosniff" || strings.Contains(body, "evil") {
				t.Errorf("%s: %s %v %s", name, res.Status, res.Header, body)
			}
			continue
		}
		to, err := res.Location()
		if err != nil || res.StatusCode != http.StatusFound || body != "" || !strings.HasPrefix(to.String(), e.URL+"/tenant/oauth2/v2.0/authorize?") {
			t.Fatalf("%s: %s to %v, %v, %s", name, res.Status, to, err, body)
		}
		for _, unwanted := range []string{"resource", "tenant", "request", "request_uri", "code_challenge\x00", "client_secret", "Nothing"} {
			query.Del(unwanted)
		}
		query.Set("scope", query.Get("scope")+" offline_access")
		if to.RawQuery != query.Encode() || res.Header.Get("Referrer-Policy") != "no-referrer" || res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: sent to %v, want %s; %v", name, to, query.Encode(), res.Header)
		}
	}
	for scope, want := range map[string]string{"": "api://gate/b api://gate/use openid profile offline_access", "offline_access  x": "offline_access x"} {
		res, _ := f.fetch(t, http.MethodGet, "/authorize?"+authorization(map[string]string{"scope": scope}).Encode(), nil)
		if to, err := res.Location(); err != nil || to.Query().Get("scope") != want {
			t.Errorf("scope %q: sent to %v, %v", scope, to, err)
		}
	}
	if res, _ := f.fetch(t, http.MethodPost, "/authorize?"+authorization(nil).Encode(), nil); res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %s", res.Status)
	}
	if n := e.asked.Load(); n != 0 {
		t.Errorf("Entra was asked %d times by the gate itself", n)
	}
}

func TestPeopleOfSeveralTenantsSignInWhereverTheyBelong(t *testing.T) {
	t.Parallel()
	g := &Gate{o: Options{Authority: "https://login.example", Tenants: []string{"a", "b"}}}
	if got := g.entra("/x"); got != "https://login.example/organizations/x" {
		t.Error(got)
	}
}

func redemption(edit map[string]string) url.Values {
	return edited(url.Values{
		"client_id": {shimClient}, "grant_type": {"authorization_code"}, "code": {"1.code"}, "code_verifier": {"v"},
		"redirect_uri": {"http://localhost:1234/callback"}, "resource": {"https://mcp.corp.example/mcp"},
	}, edit)
}

func TestTokenEndpointPassesOnWhatAPublicClientDoes(t *testing.T) {
	t.Parallel()
	const form = "application/x-www-form-urlencoded"
	e := standIn(t)
	f := shimmed(t, e)
	refresh := map[string]string{"grant_type": "refresh_token", "refresh_token": "1.r", "code": "", "code_verifier": "", "redirect_uri": ""}
	for name, tt := range map[string]struct {
		edit   map[string]string
		more   string
		header map[string]string
		status int
		error  string
	}{
		"a code":             {nil, "", nil, 200, ""},
		"a refresh":          {refresh, "", nil, 200, ""},
		"with a charset":     {nil, "", map[string]string{"Content-Type": form + "; charset=UTF-8"}, 200, ""},
		"upper-case client":  {map[string]string{"client_id": strings.ToUpper(shimClient)}, "", nil, 200, ""},
		"two resources":      {nil, "&resource=x", nil, 200, ""},
		"of no use":          {map[string]string{"device_code": "x", "assertion": "x", "requested_token_use": "on_behalf_of", "username": "ada", "password": "x", "Client_Secret": "x", "grant_type\x00": "password"}, "", nil, 200, ""},
		"a scope":            {map[string]string{"scope": "api://gate/use"}, "", nil, 200, ""},
		"another grant, too": {map[string]string{"Grant_Type": "password", "username": "ada", "password": "x"}, "", nil, 400, invalidRequest},
		"a password":         {map[string]string{"grant_type": "password", "username": "ada", "password": "x"}, "", nil, 400, "unsupported_grant_type"},
		"a device":           {map[string]string{"grant_type": "urn:ietf:params:oauth:grant-type:device_code"}, "", nil, 400, "unsupported_grant_type"},
		"an application":     {map[string]string{"grant_type": "client_credentials"}, "", nil, 400, "unsupported_grant_type"},
		"an exchange":        {map[string]string{"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}, "", nil, 400, "unsupported_grant_type"},
		"no grant":           {map[string]string{"grant_type": ""}, "", nil, 400, "unsupported_grant_type"},
		"a secret":           {map[string]string{"client_secret": "x"}, "", nil, 400, "invalid_client"},
		"an empty secret":    {nil, "&client_secret=", nil, 400, "invalid_client"},
		"an assertion":       {map[string]string{"client_assertion": "x"}, "", nil, 400, "invalid_client"},
		"a secret in Basic":  {nil, "", map[string]string{"Authorization": "Basic eDp5"}, 401, "invalid_client"},
		"another client":     {map[string]string{"client_id": "x"}, "", nil, 400, "invalid_client"},
		"no proof":           {map[string]string{"code_verifier": ""}, "", nil, 400, invalidRequest},
		"two codes":          {nil, "&code=2", nil, 400, invalidRequest},
		"two grants":         {nil, "&grant_type=password", nil, 400, invalidRequest},
		"semicolons":         {nil, "&a=1;b=2", nil, 400, invalidRequest},
		"JSON":               {nil, "", map[string]string{"Content-Type": "application/json"}, 400, invalidRequest},
		"a form in parts":    {nil, "", map[string]string{"Content-Type": "multipart/form-data; boundary=x"}, 400, invalidRequest},
		"compressed":         {nil, "", map[string]string{"Content-Encoding": "gzip"}, 400, invalidRequest},
		"too long":           {nil, "&x=" + strings.Repeat("x", maxForm), nil, 413, invalidRequest},
		"of no content type": {nil, "", map[string]string{"Content-Type": ""}, 400, invalidRequest},
	} {
		before := e.asked.Load()
		sent := redemption(tt.edit)
		req := f.request(t, http.MethodPost, "/token?client_secret=in-the-query", sent.Encode()+tt.more)
		req.Host = "mcp.corp.example"
		req.Header = http.Header{"Content-Type": {form}, "Cookie": {"session=x"}, "Origin": {"https://page.example"}, "X-Forwarded-For": {"1.2.3.4"}, "Referer": {"https://page.example/"}}
		for k, v := range tt.header {
			req.Header.Set(k, v)
		}
		res, body := f.do(t, req)
		h := res.Header
		if res.StatusCode != tt.status || h.Get("Content-Type") != "application/json" || h.Get("Cache-Control") != "no-store" || h.Get("Access-Control-Allow-Origin") != "*" || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %s %v", name, res.Status, h)
		}
		if tt.error != "" {
			if !strings.HasPrefix(body, `{"error":"`+tt.error+`"`) || e.asked.Load() != before {
				t.Errorf("%s: %s; Entra was asked: %v", name, body, e.asked.Load() != before)
			}
			continue
		}
		for _, unwanted := range []string{"resource", "device_code", "assertion", "requested_token_use", "username", "password", "Client_Secret", "grant_type\x00"} {
			sent.Del(unwanted)
		}
		if got := e.form.Load().Encode(); body != answered || got != sent.Encode() {
			t.Errorf("%s: %s; Entra was sent %s, want %s", name, body, got, sent.Encode())
		}
		for _, unwanted := range []string{"Cookie", "Origin", "X-Forwarded-For", "Referer", "Authorization"} {
			if v := e.header.Load().Get(unwanted); v != "" {
				t.Errorf("%s: Entra was sent %s: %s", name, unwanted, v)
			}
		}
	}
	for _, method := range []string{"GET", "PUT"} {
		if res, _ := f.fetch(t, method, "/token", nil); res.StatusCode != http.StatusMethodNotAllowed || res.Header.Get("Allow") != "POST, OPTIONS" {
			t.Errorf("%s: %s %v", method, res.Status, res.Header)
		}
	}
}

func TestAnswersThatAreNotATokenEndpointsDoNotPass(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		status int
		body   string
	}{
		"a refusal": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Set-Cookie", "esctx=x")
			w.Header().Set("Retry-After", "7")
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"error":"invalid_grant"}`)
		}, 400, `{"error":"invalid_grant"}`},
		"a page": {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html><script>") }, 503, `{"error":"temporarily_unavailable"`},
		"a redirect": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(http.StatusTemporaryRedirect)
			_, _ = io.WriteString(w, answered)
		}, 503, `{"error":"temporarily_unavailable"`},
		"too long": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{}`+strings.Repeat(" ", maxTokens))
		}, 503, `{"error":"temporarily_unavailable"`},
		"cut short": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 503, `{"error":"temporarily_unavailable"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := standIn(t)
			e.answer = tt.answer
			f := shimmed(t, e)
			req := f.request(t, http.MethodPost, "/token", redemption(nil).Encode())
			req.Host = "mcp.corp.example"
			req.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
			res, body := f.do(t, req)
			if res.StatusCode != tt.status || !strings.HasPrefix(body, tt.body) || res.Header.Get("Set-Cookie") != "" || res.Header.Get("Content-Type") != "application/json" || res.Header.Get("Retry-After") == "" {
				t.Errorf("%s %v %.200s", res.Status, res.Header, body)
			}
			if n := e.asked.Load(); n != 1 {
				t.Errorf("Entra was asked %d times", n)
			}
		})
	}
}

func TestOnlySoManyClientsAskForTokensAtOnce(t *testing.T) {
	t.Parallel()
	e := standIn(t)
	waiting, release := make(chan struct{}, maxRelays), make(chan struct{})
	e.answer = func(w http.ResponseWriter, _ *http.Request) {
		waiting <- struct{}{}
		<-release
		_, _ = io.WriteString(w, answered)
	}
	f := shimmed(t, e)
	ask := func() int {
		req := f.request(t, http.MethodPost, "/token", redemption(nil).Encode())
		req.Host = "mcp.corp.example"
		req.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
		res, err := f.client.Do(req)
		if err != nil {
			t.Error(err)
			return 0
		}
		defer res.Body.Close()
		return res.StatusCode
	}
	statuses := make(chan int, maxRelays)
	for range maxRelays {
		go func() { statuses <- ask() }()
	}
	for range maxRelays {
		<-waiting
	}
	if got := ask(); got != http.StatusServiceUnavailable {
		t.Errorf("one more: status %d", got)
	}
	close(release)
	for range maxRelays {
		if got := <-statuses; got != 200 {
			t.Errorf("one of %d: status %d", maxRelays, got)
		}
	}
	if got := ask(); got != 200 {
		t.Errorf("afterwards: status %d", got)
	}
}

func TestEveryRegistrationIsAnsweredWithTheOneClient(t *testing.T) {
	t.Parallel()
	e := standIn(t)
	f := shimmed(t, e)
	many := `"` + strings.Repeat(`https://a.example/","`, maxRedirects) + `https://a.example/"`
	for name, tt := range map[string]struct {
		body, media, want string // the error, "" for a client
	}{
		"as it should be":     {`{"redirect_uris":["http://localhost:1/cb","http://127.0.0.1/","https://a.example/cb","cursor://x/y","com.example.app:/cb"],"client_name":"<b>x</b>","token_endpoint_auth_method":"client_secret_basic","grant_types":["implicit"],"jwks_uri":"http://169.254.169.254/"}`, "application/json; charset=utf-8", ""},
		"no redirect":         {`{"client_name":"x"}`, "application/json", "invalid_redirect_uri"},
		"an empty list":       {`{"redirect_uris":[]}`, "application/json", "invalid_redirect_uri"},
		"one bad of two":      {`{"redirect_uris":["https://a.example/","http://evil.example/"]}`, "application/json", "invalid_redirect_uri"},
		"script":              {`{"redirect_uris":["javascript:alert(1)"]}`, "application/json", "invalid_redirect_uri"},
		"data":                {`{"redirect_uris":["data:text/html,x"]}`, "application/json", "invalid_redirect_uri"},
		"userinfo":            {`{"redirect_uris":["https://a@b.example/"]}`, "application/json", "invalid_redirect_uri"},
		"a fragment":          {`{"redirect_uris":["https://b.example/#"]}`, "application/json", "invalid_redirect_uri"},
		"no host":             {`{"redirect_uris":["https:///x"]}`, "application/json", "invalid_redirect_uri"},
		"too many":            {`{"redirect_uris":[` + many + `]}`, "application/json", "invalid_redirect_uri"},
		"too long a redirect": {`{"redirect_uris":["https://a.example/` + strings.Repeat("x", 2<<10) + `"]}`, "application/json", "invalid_redirect_uri"},
		"no list":             {`{"redirect_uris":"https://a.example/"}`, "application/json", "invalid_client_metadata"},
		"no JSON":             {`redirect_uris=x`, "application/json", "invalid_client_metadata"},
		"two documents":       {`{"redirect_uris":["https://a.example/"]}{}`, "application/json", "invalid_client_metadata"},
		"a form":              {`{"redirect_uris":["https://a.example/"]}`, "application/x-www-form-urlencoded", "invalid_client_metadata"},
		"too long":            {`{"redirect_uris":["https://a.example/"],"x":"` + strings.Repeat("x", maxForm) + `"}`, "application/json", "invalid_client_metadata"},
	} {
		req := f.request(t, http.MethodPost, "/register", tt.body)
		req.Host = "mcp.corp.example"
		req.Header = http.Header{"Content-Type": {tt.media}, "Origin": {"https://page.example"}}
		res, body := f.do(t, req)
		if res.Header.Get("Content-Type") != "application/json" || res.Header.Get("X-Content-Type-Options") != "nosniff" || strings.Contains(body, "secret") || strings.Contains(body, "evil") || strings.Contains(body, "<b>") {
			t.Errorf("%s: %s %v %s", name, res.Status, res.Header, body)
		}
		if tt.want != "" {
			if res.StatusCode < 400 || !strings.HasPrefix(body, `{"error":"`+tt.want+`"`) {
				t.Errorf("%s: %s %s", name, res.Status, body)
			}
			continue
		}
		const want = `{"client_id":"` + shimClient + `","redirect_uris":["http://localhost:1/cb","http://127.0.0.1/","https://a.example/cb","cursor://x/y","com.example.app:/cb"],` +
			`"token_endpoint_auth_method":"none","grant_types":["authorization_code","refresh_token"],"response_types":["code"]}`
		if res.StatusCode != http.StatusCreated || body != want {
			t.Errorf("%s: %s %s", name, res.Status, body)
		}
	}
	if n := e.asked.Load(); n != 0 {
		t.Errorf("Entra was asked %d times", n)
	}
}

func TestWithoutAShimItsPathsAreOrdinaryOnes(t *testing.T) {
	t.Parallel()
	f := stand(t, published(), serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the upstream was asked") }).URL)
	for _, path := range []string{"/authorize", "/token", "/register", "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"} {
		if res, body := f.fetch(t, http.MethodGet, path, nil); res.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %s %s", path, res.Status, body)
		}
	}
}
