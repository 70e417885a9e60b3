package e2e_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// closed starts a gate in the clear, before a server to which only requests come
// that admitted names by METHOD PATH BODY; with none it is nobody's.
func closed(t *testing.T, admitted ...string) *gated {
	t.Helper()
	may := strings.Join(admitted, "\n")
	s := httptest.NewServer(innocent(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if got := r.Method + " " + r.RequestURI + " " + string(b); err != nil || may == "" || !strings.Contains("\n"+may+"\n", "\n"+got+"\n") {
			t.Errorf("%q reached the server (%v)", got, err)
		}
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"jsonrpc":"2.0","id":7,"result":{"tools":[]}}`)
	})))
	t.Cleanup(s.Close) // after the gate has ended, and with it whatever was under way
	return gate(t, gateOptions{clear: true, routes: fmt.Sprintf(`
[[route]]
path = "/mcp"
upstream = [%q]
scopes = [%q]
[route.tools]
"*" = {}
`, s.URL, scopeUse)})
}

// say sends the gate these bytes, and returns the statuses of its answers, up to
// as many as are wanted, and 0 in place of one if it closes the connection.
func (g *gated) say(t *testing.T, raw string, wanted int) (statuses []int) {
	t.Helper()
	c, err := net.Dial("tcp", g.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(guardTime))
	go io.WriteString(c, raw) // it may be longer than what is read of it
	r := bufio.NewReader(c)
	for range wanted {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			if e, ok := err.(net.Error); ok && e.Timeout() {
				t.Errorf("no answer to %.200q", raw)
			}
			return append(statuses, 0)
		}
		statuses = append(statuses, res.StatusCode)
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			return statuses
		}
	}
	return statuses
}

// host is what the gate's clients send as Host.
func (g *gated) host() string { return strings.TrimPrefix(g.url, "http://") }

// TestNothingReachesTheServerBehindTheGateWithoutAToken: whatever form a request
// without a token has, in the light of which some server or other could take it
// for two requests, for one with another path, or for one with a token. There is
// an answer to each, none is good, and nothing arrives.
func TestNothingReachesTheServerBehindTheGateWithoutAToken(t *testing.T) {
	t.Parallel()
	g := closed(t)
	host := "Host: " + g.host() + "\r\n"
	message := "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
	length := fmt.Sprintf("Content-Length: %d\r\n", len(listTools))
	inner := "POST /mcp HTTP/1.1\r\n" + host + message + length + "\r\n" + listTools
	post := "POST /mcp HTTP/1.1\r\n" + host + message
	token := g.user(t, ada, scopeUse)
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(listTools), listTools)
	for name, tt := range map[string]struct {
		raw  string
		more int // answers after the first
	}{
		"plain":                    {raw: post + length + "\r\n" + listTools},
		"both lengths, CL first":   {raw: post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner},
		"both lengths, TE first":   {raw: post + "Transfer-Encoding: chunked\r\n" + length + "\r\n" + chunked + inner},
		"two lengths":              {raw: post + "Content-Length: 0\r\n" + length + "\r\n" + inner},
		"signed length":            {raw: post + "Content-Length: +5\r\n\r\n01234" + inner},
		"negative length":          {raw: post + "Content-Length: -1\r\n\r\n" + inner},
		"list of lengths":          {raw: post + "Content-Length: 5, 5\r\n\r\n01234" + inner},
		"TE identity, chunked":     {raw: post + "Transfer-Encoding: identity, chunked\r\n\r\n" + chunked},
		"TE twice":                 {raw: post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n" + chunked},
		"TE unknown":               {raw: post + "Transfer-Encoding: xchunked\r\n" + length + "\r\n" + listTools},
		"TE with a tab":            {raw: post + "Transfer-Encoding:\tchunked\r\n" + length + "\r\n" + chunked},
		"TE with a vertical tab":   {raw: post + "Transfer-Encoding: \vchunked\r\n" + length + "\r\n" + chunked},
		"space before the colon":   {raw: post + "Transfer-Encoding : chunked\r\n" + length + "\r\n" + chunked},
		"folded line":              {raw: post + "X-A: b\r\n Transfer-Encoding: chunked\r\n" + length + "\r\n" + chunked},
		"folded Transfer-Encoding": {raw: post + "Transfer-Encoding:\r\n chunked\r\n" + length + "\r\n" + chunked},
		"folded first line":        {raw: "POST /mcp HTTP/1.1\r\n " + host + message + length + "\r\n" + listTools},
		"bare line feeds":          {raw: strings.ReplaceAll(post+length+"\r\n", "\r\n", "\n") + listTools},
		"bare carriage returns":    {raw: strings.ReplaceAll(post+length+"\r\n", "\r\n", "\r") + listTools + "\r\n\r\n"},
		"NUL in a field":           {raw: post + "X-A: \x00\r\n" + length + "\r\n" + listTools},
		"no Host":                  {raw: "POST /mcp HTTP/1.1\r\n" + message + length + "\r\n" + listTools},
		"two Hosts":                {raw: post + "Host: other.test\r\n" + length + "\r\n" + listTools},
		"another's Host":           {raw: "POST /mcp HTTP/1.1\r\nHost: other.test\r\n" + message + length + "\r\n" + listTools},
		"absolute form":            {raw: strings.Replace(post, "/mcp", g.url+"/mcp", 1) + length + "\r\n" + listTools},
		"absolute form, another's": {raw: strings.Replace(post, "/mcp", "http://other.test/mcp", 1) + length + "\r\n" + listTools},
		"absolute form, health":    {raw: strings.Replace(post, "/mcp", "http://other.test/healthz/../mcp", 1) + length + "\r\n" + listTools},
		"CONNECT":                  {raw: "CONNECT localhost:1 HTTP/1.1\r\n" + host + "\r\n" + inner},
		"TRACE":                    {raw: "TRACE /mcp HTTP/1.1\r\n" + host + "\r\n"},
		"OPTIONS *":                {raw: "OPTIONS * HTTP/1.1\r\n" + host + "\r\n"},
		"HTTP/1.0":                 {raw: "POST /mcp HTTP/1.0\r\n" + host + message + length + "\r\n" + listTools},
		"HTTP/0.9":                 {raw: "GET /mcp/and-something-more\r\n\r\n"},
		"HTTP/3.0":                 {raw: "POST /mcp HTTP/3.0\r\n" + host + message + length + "\r\n" + listTools},
		"lower-case method":        {raw: "post /mcp HTTP/1.1\r\n" + host + message + length + "\r\n" + listTools},
		"upgrade to h2c":           {raw: post + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n" + length + "\r\n" + listTools},
		"upgrade to WebSocket":     {raw: "GET /mcp HTTP/1.1\r\n" + host + "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"},
		"expecting to go on":       {raw: post + "Expect: 100-continue\r\n" + length + "\r\n"},
		"less than it says":        {raw: post + "Content-Length: 1000000\r\n\r\n{"},
		"after health":             {raw: "GET /healthz HTTP/1.1\r\n" + host + "\r\n" + inner, more: 1},
		"in the body of health":    {raw: "GET /healthz HTTP/1.1\r\n" + host + fmt.Sprintf("Content-Length: %d\r\n", len(inner)) + "\r\n" + inner + inner, more: 1},
		"token as Basic":           {raw: post + "Authorization: Basic " + token + "\r\n" + length + "\r\n" + listTools},
		"token beside another":     {raw: post + "Authorization: Bearer " + token + "\r\nAuthorization: Bearer x\r\n" + length + "\r\n" + listTools},
		"tokens in a list":         {raw: post + "Authorization: Bearer x, Bearer " + token + "\r\n" + length + "\r\n" + listTools},
		"token for a proxy":        {raw: post + "Proxy-Authorization: Bearer " + token + "\r\n" + length + "\r\n" + listTools},
		"token with an underscore": {raw: post + "Authorization_: Bearer " + token + "\r\nX_Authorization: Bearer " + token + "\r\n" + length + "\r\n" + listTools},
		"token as a cookie":        {raw: post + "Cookie: Authorization=Bearer " + token + "\r\n" + length + "\r\n" + listTools},
		"token in the query":       {raw: strings.Replace(post, "/mcp", "/mcp?access_token="+token, 1) + length + "\r\n" + listTools},
		"token in the trailer":     {raw: post + "Trailer: Authorization\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.TrimSuffix(chunked, "\r\n") + "Authorization: Bearer " + token + "\r\n\r\n"},
		"a proxy's word":           {raw: post + "X-Forwarded-User: ada\r\nX-MS-CLIENT-PRINCIPAL-ID: 1\r\nX-Original-URL: /healthz\r\nX-Rewrite-URL: /healthz\r\nX-Forwarded-Path: /healthz\r\n" + length + "\r\n" + listTools},
		"method in a field":        {raw: "GET /healthz HTTP/1.1\r\n" + host + "X-HTTP-Method-Override: POST\r\nX-Original-URL: /mcp\r\n\r\n" + inner, more: 1},
		"long field":               {raw: post + "X-A: " + strings.Repeat("a", 1<<20) + "\r\n" + length + "\r\n" + listTools},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := g.say(t, tt.raw, 1+tt.more)
			if tt.more > 0 {
				if len(got) == 0 || got[0] != http.StatusOK {
					t.Errorf("the answers are %d, want health first", got)
				}
				got = got[1:]
			}
			if len(got) == 0 {
				t.Error("no answer")
			}
			for _, status := range got {
				if status != 0 && status < 400 {
					t.Errorf("the answers are %d, want refusals", got)
				}
			}
		})
	}
}

// TestOnlyHealthAndMetadataAreOpenOnARealGate: of all paths and methods, in
// HTTP/1.1 and HTTP/2 without an upgrade.
func TestOnlyHealthAndMetadataAreOpenOnARealGate(t *testing.T) {
	t.Parallel()
	g := closed(t)
	open := map[string]bool{}
	for _, p := range []string{"/healthz", "/readyz", "/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"} {
		open["GET "+p], open["HEAD "+p] = true, true
		open["OPTIONS "+p] = strings.Contains(p, "oauth") // a browser's question, from any page
	}
	routed := []string{"/mcp", "/mcp/", "/mcp/x", "/mcp?x=/healthz"}
	paths := append([]string{
		"/", "/MCP", "//mcp", "/./mcp", "/healthz/../mcp", "/healthz/%2e%2e/mcp", "/healthz%2f..%2fmcp",
		"/mcp/../healthz", "/mcp%00", "/mcp%2f", "/mcp;x=/healthz", "/mcp%5c..%5chealthz", "/healthz/", "/healthz/mcp", "/readyz;/mcp", "/HEALTHZ",
		"/.well-known/", "/.well-known/oauth-protected-resource/../../mcp", "/.well-known/oauth-protected-resource/other", "/.well-known/oauth-authorization-server",
		"/.well-known/openid-configuration", "/authorize", "/token", "/register", "/metrics", "/debug/pprof/", "/api/status", "/favicon.ico", "/sse", "/messages",
		"/healthz", "/readyz", "/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp",
	}, routed...)
	h2c := &http.Transport{Protocols: new(http.Protocols)}
	h2c.Protocols.SetUnencryptedHTTP2(true)
	for name, tr := range map[string]*http.Transport{"HTTP/1.1": {}, "HTTP/2.0": h2c} {
		defer tr.CloseIdleConnections()
		for _, path := range paths {
			for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "TRACE"} {
				body := io.Reader(nil)
				if method == http.MethodPost {
					body = strings.NewReader(listTools)
				}
				r, err := http.NewRequestWithContext(t.Context(), method, "http://"+g.address, body)
				if err != nil {
					t.Fatal(err)
				}
				r.Host, r.URL.Opaque = g.host(), ""
				r.URL.Path, r.URL.RawPath, r.URL.RawQuery = rawPath(path)
				r.Header.Set("Content-Type", "application/json")
				res, err := tr.RoundTrip(r)
				if err != nil {
					t.Fatalf("%s %s %s: %v", name, method, path, err)
				}
				res.Body.Close()
				if res.Proto != name {
					t.Errorf("%s was spoken, want %s", res.Proto, name)
				}
				if is := res.StatusCode < 400; is != open[method+" "+path] {
					t.Errorf("%s %s %s: status %d", name, method, path, res.StatusCode)
				}
				if is := res.StatusCode == http.StatusUnauthorized; method == http.MethodPost && is != slices.Contains(routed, path) {
					t.Errorf("%s %s %s: status %d", name, method, path, res.StatusCode)
				}
			}
		}
	}
}

// rawPath is path as a URL has it that sends it as it is.
func rawPath(path string) (decoded, raw, query string) {
	path, query, _ = strings.Cut(path, "?")
	return path, path, query
}

// TestNoRequestIsSmuggledThroughTheGate: with a token, in forms that two servers
// could read differently, one request arrives as it is, or none. What hides
// behind it has no token, and arrives never.
func TestNoRequestIsSmuggledThroughTheGate(t *testing.T) {
	t.Parallel()
	g := closed(t, "POST /mcp "+listTools)
	post := "POST /mcp HTTP/1.1\r\nHost: " + g.host() + "\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n" +
		"Authorization: Bearer " + g.user(t, ada, scopeUse) + "\r\n"
	hidden := "POST /mcp/hidden HTTP/1.1\r\nHost: " + g.host() + "\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
	length := fmt.Sprintf("Content-Length: %d\r\n", len(listTools))
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(listTools), listTools)
	for name, tt := range map[string]struct {
		raw  string
		want string // of the first answer: 200, refusal, or either
	}{
		"plain":                  {post + length + "\r\n" + listTools, "200"},
		"two of them":            {post + length + "\r\n" + listTools + hidden, "200"},
		"chunked":                {post + "Transfer-Encoding: chunked\r\n\r\n" + chunked + hidden, "200"},
		"extended chunks":        {post + "Transfer-Encoding: chunked\r\n\r\n" + strings.Replace(chunked, "\r\n", ";a=\"b\"\r\n", 1) + hidden, "200"},
		"both lengths":           {post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked + hidden, "either"},
		"length of what follows": {post + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(listTools)+len(hidden)) + listTools + hidden, "refusal"},
		"length too short":       {post + "Content-Length: 1\r\n\r\n" + listTools + hidden, "refusal"},
		"chunk size of nothing":  {post + "Transfer-Encoding: chunked\r\n\r\n\r\n" + chunked + hidden, "refusal"},
		"chunk size with a sign": {post + "Transfer-Encoding: chunked\r\n\r\n+" + chunked + hidden, "refusal"},
		"chunk size in hex 0x":   {post + "Transfer-Encoding: chunked\r\n\r\n0x" + chunked + hidden, "refusal"},
		"chunk of line feeds":    {post + "Transfer-Encoding: chunked\r\n\r\n" + strings.Replace(chunked, "\r\n", "\n", 1) + hidden, "either"},
		"TE twice":               {post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked + hidden, "refusal"},
		"Connection names it":    {post + "Connection: Content-Length, Authorization, Host\r\n" + length + "\r\n" + listTools + hidden, "200"},
		"trailer":                {post + "Trailer: X-A\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.TrimSuffix(chunked, "\r\n") + "Content-Length: 3\r\nX-A: b\r\n\r\n" + hidden, "200"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := g.say(t, tt.raw, 1+strings.Count(tt.raw, hidden)-strings.Count(name, "what follows"))
			first := "refusal"
			if got[0] == http.StatusOK {
				first = "200"
			}
			if tt.want != "either" && first != tt.want {
				t.Errorf("the answers are %d, want %s first", got, tt.want)
			}
			for _, status := range got[1:] {
				if status != 0 && status < 400 {
					t.Errorf("the answers are %d, want a refusal of what hides", got)
				}
			}
		})
	}
}
