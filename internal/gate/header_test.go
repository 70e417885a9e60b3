package gate

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"sync"
	"testing"
)

// believedNames are headers by which servers let somebody in front of them say
// who asks, from where, and for what.
const believedNames = `X-Forwarded-User X-Forwarded-Email X-Forwarded-Groups X-Forwarded-Preferred-Username X-Forwarded-Access-Token
	X-Forwarded-For X-Forwarded-Proto X-Forwarded-Host X-Forwarded-Port X-Forwarded-Prefix X-Forwarded-Client-Cert Forwarded
	X-Auth-Request-User X-Auth-Request-Email X-Auth-Request-Groups X-Auth-Request-Access-Token X-MS-CLIENT-PRINCIPAL X-MS-CLIENT-PRINCIPAL-ID
	X-MS-CLIENT-PRINCIPAL-NAME X-MS-TOKEN-AAD-ACCESS-TOKEN X-MS-TOKEN-AAD-ID-TOKEN Remote-User Remote-Groups X-Remote-User X-Remote-Group
	X-Remote-Extra-Scopes X-User X-User-Id X-UserInfo X-Username X-WEBAUTH-USER X-Original-URL X-Original-Host X-Original-Forwarded-For X-Rewrite-URL
	X-Real-IP True-Client-IP X-Client-IP CF-Connecting-IP X-HTTP-Method-Override X-HTTP-Method X-Method-Override
	X-Goog-Authenticated-User-Email X-Goog-Iap-Jwt-Assertion X-Amzn-Oidc-Data Cf-Access-Jwt-Assertion X-SSL-Client-S-DN SSL-Client-Verify
	Proxy-Authorization Proxy-Connection Proxy-Foo Tailscale-User-Login X-Authentik-Username X-Pomerium-Jwt-Assertion X-Consumer-Username X-Envoy-Original-Path
	X-Auth-Email X-Auth-Groups X-Auth-Roles X-Auth-Subject X-Auth-Username Impersonate-User Impersonate-Group Impersonate-Extra-Scopes X-Impersonate-User Sm-User Sm-Userdn
	Iv-User Iv-Groups Iv-Creds Oam-Remote-User Oam-Groups X-Identity X-Principal X-Subject X-Sub Gap-Auth X-Gap-Auth X-Sso-User X-Current-User X-Logged-In-User X-Login
	X-Authenticated X-Authenticated-Userid X-Role X-Group X-Mcp-User X-Api-User X-Grafana-User X-Proxy-User X-Forward-For X-Host X-Client-Cn X-Azure-Fdid`

// spellings of a header that a server may take for it.
func spellings(name string) []string {
	under := strings.ReplaceAll(name, "-", "_")
	_, last, _ := strings.Cut(name, "-")
	return []string{
		name, strings.ToLower(name), strings.ToUpper(name), under, strings.ToLower(under), strings.ReplaceAll(name, "-", "."),
		strings.TrimSuffix(name, last) + strings.ReplaceAll(last, "-", "_"), strings.ReplaceAll(name, "-", "~"),
	}
}

// wires are the protocols towards the gate, and from there to the upstream.
var wires = []struct{ down, up string }{{"1.1", "1.1"}, {"h2c", "1.1"}, {"1.1", "h2c"}, {"h2c", "h2c"}}

// witness is an upstream, in both protocols, that keeps all it is sent in words.
func witness(t *testing.T) (url string, heard func() string) {
	t.Helper()
	h, heard := witnessing()
	return serveBoth(t, h).URL, heard
}

// witnessing is the handler of one.
func witnessing() (h http.HandlerFunc, heard func() string) {
	var mu sync.Mutex
	var all strings.Builder
	h = func(w http.ResponseWriter, r *http.Request) {
		dump, _ := httputil.DumpRequest(r, true)
		_, _ = io.Copy(io.Discard, r.Body) // behind it are the trailers
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(&all, "%s%v%v\n", dump, r.Trailer, r.URL)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{}}`)
	}
	return h, func() string {
		mu.Lock()
		defer mu.Unlock()
		defer all.Reset()
		return all.String()
	}
}

// serveBoth runs an upstream that speaks HTTP/1.1, and HTTP/2 in the clear.
func serveBoth(t testing.TB, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	ts := httptest.NewUnstartedServer(h)
	ts.Config.Protocols = new(http.Protocols)
	ts.Config.Protocols.SetHTTP1(true)
	ts.Config.Protocols.SetUnencryptedHTTP2(true)
	ts.Start()
	t.Cleanup(ts.Close)
	return ts
}

func TestWhatACallerSaysOfWhoTheyAreNeverReachesTheUpstream(t *testing.T) {
	t.Parallel()
	for _, wire := range wires {
		for _, plain := range []bool{true, false} {
			t.Run(fmt.Sprint(wire, plain), func(t *testing.T) {
				t.Parallel()
				url, heard := witness(t)
				route := Route{Path: "/mcp", Allow: true, Protocol: wire.up}
				if !plain {
					route.Tools = []Grant{{Pattern: "other"}}
				}
				f := stand(t, Options{Routes: []Route{route}}, url).over(t, wire.down)
				for _, name := range strings.Fields(believedNames) {
					req := f.request(t, "POST", "/mcp", callEcho)
					for i, spelling := range spellings(name) {
						if wire.down == "h2c" && strings.HasPrefix(strings.ToLower(spelling), "proxy-connection") {
							continue // no request of HTTP/2
						}
						req.Header[spelling] = []string{fmt.Sprintf("forged-%d", i), "forged-again"}
					}
					res, _ := f.do(t, req)
					got := heard()
					if res.StatusCode != 200 || strings.Contains(got, "forged") || !strings.Contains(got, "tools/call") {
						t.Errorf("%s: %s, the upstream saw\n%s", name, res.Status, got)
					}
				}
			})
		}
	}
}

func TestHeadersOfTheRequestItselfReachTheUpstream(t *testing.T) {
	t.Parallel()
	for _, wire := range wires {
		url, heard := witness(t)
		f := stand(t, Options{Routes: []Route{{Path: "/mcp", Allow: true, Protocol: wire.up}}}, url).over(t, wire.down)
		req := f.request(t, "POST", "/mcp", callEcho)
		names := strings.Fields("Accept Cookie Last-Event-Id Mcp-Protocol-Version Traceparent X-Api-Key X-Auth-Key X-Mcp-Toolsets X-Client-Info X-Request-Id User-Agent Accept-Language X-Auth-Token Range If-None-Match Idempotency-Key X-Idempotency-Key")
		for _, name := range names {
			req.Header.Set(name, "own="+name)
		}
		res, _ := f.do(t, req)
		got := heard()
		for _, name := range names {
			if !strings.Contains(got, name+": own="+name+"\r\n") {
				t.Errorf("%v: %s is missing", wire, name)
			}
		}
		address := strings.TrimPrefix(f.url, "http://")
		for _, want := range []string{"Host: " + address, "X-Forwarded-For: 127.0.0.1\r\n", "X-Forwarded-Proto: http\r\n", "X-Forwarded-Host: " + address + "\r\n"} {
			if !strings.Contains(got, want) {
				t.Errorf("%v: %q is missing", wire, want)
			}
		}
		if res.StatusCode != 200 || t.Failed() {
			t.Errorf("%v: %s, the upstream saw\n%s", wire, res.Status, got)
		}
	}
}

func TestHeadersOfOneConnectionGoNoFurther(t *testing.T) {
	t.Parallel()
	url, heard := witness(t)
	f := stand(t, Options{}, url)
	req := f.request(t, "POST", "/mcp", callEcho)
	req.Header["Connection"] = []string{"keep-alive, X-Named", "x-also-named ,X-Forwarded-For"}
	for _, name := range strings.Fields("X-Named X-Also-Named Keep-Alive Te Upgrade Http2-Settings Expect") {
		req.Header[name] = []string{"hop"}
	}
	req.Header["Expect"] = []string{"100-continue"}
	req.Header["User-Agent"] = []string{""} // which net/http sends none for
	res, _ := f.do(t, req)
	got := heard()
	if res.StatusCode != 200 || strings.Contains(got, "User-Agent") || strings.Contains(got, "hop") || strings.Contains(got, "100-continue") || !strings.Contains(got, "X-Forwarded-For: 127.0.0.1\r\n") {
		t.Errorf("%s, the upstream saw\n%s", res.Status, got)
	}
}

func TestTheCallersTokenNeverReachesTheUpstream(t *testing.T) {
	t.Parallel()
	for _, wire := range wires {
		t.Run(fmt.Sprint(wire), func(t *testing.T) {
			t.Parallel()
			url, heard := witness(t)
			f := stand(t, Options{Routes: []Route{
				{Path: "/judged", Allow: true, Tools: []Grant{{Pattern: "other"}}, Protocol: wire.up},
				{Path: "/plain", Allow: true, Protocol: wire.up},
				{Path: "/lame", Allow: true, Protocol: wire.up, Upstreams: urls(t, "http://127.0.0.1:1", url)},
				{Path: "/behalf", Allow: true, Tools: []Grant{{Pattern: "other"}}, Protocol: wire.up, OnBehalfOf: new(bureau)},
				{Path: "/behalf/plain", Allow: true, Protocol: wire.up, OnBehalfOf: new(bureau)},
			}}, url).over(t, wire.down)
			for _, path := range []string{"/judged", "/plain", "/lame", "/lame", "/lame", "/behalf", "/behalf/plain"} {
				for _, method := range []string{"POST", "GET", "DELETE"} {
					body := ""
					if method == "POST" {
						body = callEcho
					}
					req := f.request(t, method, path, body)
					if body != "" {
						req.Body, req.ContentLength = io.NopCloser(strings.NewReader(callEcho)), -1
						req.Trailer = http.Header{"X-Trailing": {canary}}
						if wire.down == "1.1" { // a server of HTTP/2 refuses it
							req.Trailer["Authorization"] = []string{"Bearer " + canary}
						}
					}
					for _, name := range strings.Fields("Proxy-Authorization X-Forwarded-Access-Token X_Authorization Authorization_ X-Access-Token authorization. X-Ms-Token-Aad-Access-Token X-Api-Key X-Auth-Token X-Authorization Mcp-Param-X") {
						req.Header[name] = []string{"Bearer " + canary}
					}
					req.Header["Cookie"] = []string{"a=b; access_token=" + canary}
					req.Header["Referer"] = []string{"https://page.example/?access_token=" + strings.ReplaceAll(canary, "-", "%2d")}
					req.Header["Sec-Websocket-Protocol"] = []string{"mcp", "bearer." + canary}
					res, _ := f.do(t, req)
					own := 0 // what the upstream is to see of that kind
					if strings.HasPrefix(path, "/behalf") {
						own = 1
					}
					if got := heard(); res.StatusCode != 200 || strings.Contains(got, canary) || strings.Count(got, "Authorization") != own || !strings.Contains(got, method+" "+path) {
						t.Errorf("%s %s: %s, the upstream saw\n%s", method, path, res.Status, got)
					}
				}
			}
			for _, query := range []string{"?access_token=", "?a=b&ACCESS_TOKEN=", "?access%5ftoken=", "?a;access_token="} {
				res, _ := f.do(t, f.request(t, "GET", "/plain"+query+canary, ""))
				if got := heard(); res.StatusCode != 400 || got != "" {
					t.Errorf("%s: %s, the upstream saw\n%s", query, res.Status, got)
				}
			}
		})
	}
}

func TestARedirectLeadsThroughTheGate(t *testing.T) {
	t.Parallel()
	upstream := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Location"] = []string{strings.ReplaceAll(r.Header.Get("X-Location"), "HOST", r.Host)}
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	own := upstream.Listener.Addr().String()
	f := stand(t, Options{Routes: []Route{{Path: "/mcp", Allow: true}, {Path: "/team/x", Allow: true, Upstreams: urls(t, upstream.URL+"/api")}}}, upstream.URL)
	for _, c := range []struct{ path, location, want string }{
		{"/mcp", "/mcp/", "/mcp/"},
		{"/mcp", "http://HOST/mcp/", f.url + "/mcp/"},
		{"/mcp", "http://" + own + "/mcp/?a=%2F", f.url + "/mcp/?a=%2F"},
		{"/mcp", "//" + own + "/mcp/", f.url + "/mcp/"},
		{"/mcp", "https://elsewhere.example/login", "https://elsewhere.example/login"},
		{"/mcp", "https://evil" + own + "/", "https://evil" + own + "/"},
		{"/mcp", "mailto:a@example.com", "mailto:a@example.com"},
		{"/team/x", "/api/", "/team/x/"},
		{"/team/x", "http://" + own + "/api/y", f.url + "/team/x/y"},
		{"/team/x", "/other", "/other"},
	} {
		req := f.request(t, "GET", c.path, "")
		req.Header.Set("X-Location", c.location)
		if res, _ := f.do(t, req); res.StatusCode != 307 || res.Header.Get("Location") != c.want {
			t.Errorf("%s: %q became %q, %s; want %q", c.path, c.location, res.Header.Get("Location"), res.Status, c.want)
		}
	}
}
