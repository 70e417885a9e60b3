package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	tokenA = "token-of-audience-A"
	tokenB = "token-of-audience-B"
)

// fileAudiences are audiences a and b, with the tokens above.
const fileAudiences = `
[audience.a]
token_file = "a.token"
[audience.b]
token_file = "b.token"
`

var tokenFiles = map[string]string{"a.token": tokenA + "\n", "b.token": tokenB}

// rule writes a [[rule]] of audience a; more are further lines of it.
func rule(prefix string, more ...string) string {
	return "\n[[rule]]\nprefix = \"" + prefix + "\"\naudience = \"a\"\n" + strings.Join(more, "\n") + "\n"
}

// evil begins like api.example.test and is another host.
const evil = "api.example.test.evil.test"

func TestTokenReachesItsPrefixAndNothingElse(t *testing.T) {
	t.Parallel()
	eachLeg(t, func(t *testing.T, client, upstream string) {
		o := newOrigin(t, upstream, nil, "api.example.test", evil)
		neighbour := newOrigin(t, upstream, nil, "api.example.test")
		b := newTestbed(t, settings{tables: fileAudiences + rule(o.url("/mcp/")), files: tokenFiles})
		c := b.client(client)
		_, p, _ := net.SplitHostPort(o.authority)
		for target, want := range map[string]string{
			o.url("/mcp"):                         tokenA,
			o.url("/mcp/"):                        tokenA,
			o.url("/mcp/x?q=/mcp-admin"):          tokenA,
			o.url("/mcp/a%2Fb/c..d"):              tokenA,
			o.url("/mcp-admin"):                   "",
			o.url("/mcpx"):                        "",
			o.url("/mcp.x/"):                      "",
			o.url("/MCP/"):                        "",
			o.url("/"):                            "",
			o.url("/x/mcp/"):                      "",
			"https://" + evil + ":" + p + "/mcp/": "",
		} {
			call(t, c, "GET", target, nil).wantStatus(t, http.StatusOK)
			seen := o.one(t)
			if seen.bearer() != want || len(seen.header["Authorization"]) != min(len(want), 1) {
				t.Errorf("%s: Authorization %q, want token %q", target, seen.header["Authorization"], want)
			}
			if !strings.HasPrefix(target, "https://"+seen.host) || !strings.HasSuffix(target, seen.target) {
				t.Errorf("%s arrived as %s%s", target, seen.host, seen.target)
			}
		}
		call(t, c, "GET", neighbour.url("/mcp/x"), nil).wantStatus(t, http.StatusOK)
		if got := neighbour.one(t).header["Authorization"]; got != nil {
			t.Errorf("another port got %q", got)
		}
	})
}

func TestPlainHTTPCarriesNoToken(t *testing.T) {
	t.Parallel()
	seen := make(chan http.Header, 1)
	plain := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header.Clone() }))
	defer plain.Close()
	authority := "api.example.test:" + port(plain.Listener.Addr())
	b := newTestbed(t, settings{tables: fileAudiences + rule("https://"+authority+"/"), files: tokenFiles})
	call(t, b.client("h1"), "GET", "http://"+authority+"/mcp/", nil).wantStatus(t, http.StatusOK)
	if h := <-seen; h["Authorization"] != nil {
		t.Errorf("http:// got %q", h["Authorization"])
	}
}

// hostilePaths leave /v1/ in some server's reading of them.
var hostilePaths = []string{
	"/v1-admin/secret", "/V1/x", "/v1/../admin/secret", "/v1/..", "/v1/x/../../admin/secret", "/admin/../v1/x",
	"/v1/%2e%2e/admin/secret", "/v1/.%2E/admin/secret", "/v1/..%2fadmin%2Fsecret", "/v1%2f..%2fadmin/secret", "/v1%2fx",
	"/v1/a%2fb/%2e%2e/%2e%2e/admin/secret", `/v1/..\admin\secret`, "/v1/..%5cadmin/secret", `/v1\x`,
	"/v1//../../admin/secret", "/v1/%2f../admin/secret", "/v1/..;/admin/secret", "/v1/..;x=y/admin/secret", "/v1/..%3b/admin/secret",
	"/v1/%252e%252e/admin/secret", "/v1/..%25252fadmin/secret", "/v1/%2525252e%2525252e/admin/secret", "/v1/%252525252e%252525252e/admin/secret",
	"/%761/x", "/v1/%00", "/v1/%0d%0aX-Evil:%201", "/v1/%c0%ae%c0%ae/admin/secret", "/v1/%e0%80%ae%e0%80%ae/admin/secret", "/v1/%ff",
	"/v1/..%3f/../x", "//v1/x", "///v1/x",
}

func TestHostilePathGetsNoTokenOnTheWire(t *testing.T) {
	t.Parallel()
	eachLeg(t, func(t *testing.T, client, upstream string) {
		o := newOrigin(t, upstream, nil, "api.example.test")
		b := newTestbed(t, settings{tables: fileAudiences + rule(o.url("/v1/")), files: tokenFiles})
		c := b.client(client)
		sent := 0
		for _, path := range append(slices.Clone(hostilePaths), "/v1/x%2Fy/../z") {
			req, err := http.NewRequestWithContext(t.Context(), "GET", o.url("/"), nil)
			must(t, err)
			req.URL.Opaque = path // as it stands
			if strings.HasPrefix(path, "//") {
				req.URL.Opaque = "//" + o.authority + path // the absolute form
			}
			r, err := trySend(c, req)
			if err != nil {
				continue // the client's own library refuses to send it
			}
			sent++
			seen := o.taken()
			switch {
			case r.status == http.StatusBadRequest && len(seen) == 0:
			case r.status != http.StatusOK || len(seen) != 1:
				t.Errorf("%s: status %d, and the upstream saw %d requests", path, r.status, len(seen))
			case (seen[0].bearer() != "") != (path == "/v1/x%2Fy/../z"):
				t.Errorf("%s: Authorization %q", path, seen[0].header["Authorization"])
			case seen[0].target != path:
				t.Errorf("%s arrived as %s", path, seen[0].target)
			}
		}
		if sent < 24 {
			t.Errorf("only %d paths were sent", sent)
		}
	})
}

// What net/http's client would not send is written by hand.
func TestMalformedRequestLineReachesNobody(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h1", nil, "api.example.test")
	b := newTestbed(t, settings{tables: fileAudiences + rule(o.url("/v1/")), files: tokenFiles})
	for _, target := range []string{"/v1/\x00", "/v1/\x7f", "/v1/a\tb", "/v1/%u002e%u002e/admin", "/v1/%zz", "/v1/x#/../admin", "v1/x", `\v1\x`} {
		r, _ := b.raw(o.authority, "GET "+target+" HTTP/1.1\r\nHost: "+o.authority+"\r\nConnection: close\r\n\r\n")
		if r.status != http.StatusBadRequest && r.status != http.StatusMisdirectedRequest {
			t.Errorf("%q: status %d", target, r.status)
		}
		o.nothing(t)
	}
}

// raw sends one request by hand inside an intercepted CONNECT to authority.
func (b *testbed) raw(authority, request string) (reply, error) {
	b.t.Helper()
	conn, err := net.Dial("tcp", b.addr)
	must(b.t, err)
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(guard))
	fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", authority, authority)
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: "CONNECT"})
	must(b.t, err)
	if res.StatusCode != http.StatusOK {
		b.t.Fatalf("CONNECT %s: %s", authority, res.Status)
	}
	pool := x509.NewCertPool()
	pool.AddCert(b.root)
	host, _, _ := net.SplitHostPort(authority)
	tc := tls.Client(conn, &tls.Config{RootCAs: pool, ServerName: strings.TrimSuffix(host, ".")})
	if _, err := io.WriteString(tc, request); err != nil {
		return reply{}, err
	}
	method, _, _ := strings.Cut(request, " ")
	if res, err = http.ReadResponse(bufio.NewReader(tc), &http.Request{Method: method}); err != nil {
		return reply{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, res.Header, string(body)}, err
}

func TestSpellingsOfAHostKeepTheToken(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"h1", "h2"} {
		o := newOrigin(t, kind, nil, "api.example.test")
		board := newSwitchboard(t, map[string]string{"api.example.test:443": o.authority})
		b := newTestbed(t, settings{
			top: fmt.Sprintf("upstream_proxy = %q", board.url(nil)), tables: fileAudiences + rule("https://API.example.test/v1"), files: tokenFiles,
		})
		for _, connect := range []string{"api.example.test:443", "API.Example.TEST:443", "api.example.test.:443"} {
			for _, host := range []string{"api.example.test", "api.example.test:443", "API.EXAMPLE.TEST", "Api.Example.Test.:443"} {
				r, err := b.raw(connect, "GET /v1/x HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
				must(t, err)
				r.wantStatus(t, http.StatusOK)
				if seen := o.one(t); seen.bearer() != tokenA || seen.host != host {
					t.Errorf("CONNECT %s, Host %s: token %q, Host upstream %s", connect, host, seen.bearer(), seen.host)
				}
			}
		}
		for _, host := range []string{"api.example.test", "API.Example.Test:443", "api.example.test."} {
			call(t, b.client("h2"), "GET", "https://"+host+"/v1/x", nil).wantStatus(t, http.StatusOK)
			if seen := o.one(t); seen.bearer() != tokenA {
				t.Errorf("https://%s: token %q", host, seen.bearer())
			}
		}
	}
}

func TestLongestPrefixWinsInEachReading(t *testing.T) {
	t.Parallel()
	eachLeg(t, func(t *testing.T, client, upstream string) {
		o := newOrigin(t, upstream, nil, "api.example.test")
		second := strings.Replace(rule(o.url("/a/b")), `"a"`, `"b"`, 1)
		b := newTestbed(t, settings{tables: fileAudiences + rule(o.url("/a")) + second, files: tokenFiles})
		c := b.client(client)
		for path, want := range map[string]string{
			"/a": tokenA, "/a/x": tokenA, "/a/bb": tokenA, "/a/b": tokenB, "/a/b/x": tokenB,
			"/a/x/%2e%2e/b": "", "/a/x/../b": "", "/a/b/..%2Fx": "", "/a%2Fb": "", "/a//b": "", "/b": "",
		} {
			req, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+o.authority, nil)
			must(t, err)
			req.URL = &url.URL{Scheme: "https", Host: o.authority, Opaque: path}
			send(t, c, req).wantStatus(t, http.StatusOK)
			if seen := o.one(t); seen.bearer() != want {
				t.Errorf("%s: token %q, want %q", path, seen.bearer(), want)
			}
		}
	})
}
