package gate

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestOnlyHostsThatAreNamedAreServed(t *testing.T) {
	t.Parallel()
	upstream := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Host) })
	public := &url.URL{Scheme: "https", Host: "mcp.corp.example"}
	f := stand(t, Options{PublicURL: public, Hosts: []string{"Inner.example:8080", "[::1]:8080", "10.0.0.1"}}, upstream.URL)
	f2 := *f
	both := map[string]*front{"1.1": f, "h2c": f2.over(t, "h2c")}
	for host, want := range map[string]int{
		"mcp.corp.example": 200, "MCP.corp.example": 200, "mcp.corp.example.": 200, "mcp.corp.example:443": 200, "mcp.corp.example.:443": 200,
		"inner.example:8080": 200, "[::1]:8080": 200, "[0:0:0:0:0:0:0:1]:8080": 200, "10.0.0.1": 200, "10.0.0.1:443": 200,

		"mcp.corp.example:80": 421, "mcp.corp.example:8443": 421, "inner.example": 421, "inner.example:80": 421, "::1": 421, "evil.example": 421,
		"mcp.corp.example.evil.example": 421, "evil-mcp.corp.example": 421, "10.0.0.1:8080": 421, "127.0.0.1": 421, "localhost": 421, "mcp.corp.example..": 421,
	} {
		for protocol, f := range both {
			req := f.request(t, "GET", "/x", "")
			req.Host = host
			res, body := f.do(t, req)
			if res.StatusCode != want || want == 200 && body != host {
				t.Errorf("%s over %s: %s, %q; want %d", host, protocol, res.Status, body, want)
			}
			if want != 200 && (!strings.Contains(body, "public_url") || !strings.Contains(body, "hosts")) {
				t.Errorf("%s: the answer does not say what to do: %s", host, body)
			}
		}
	}
}

// talk sends raw bytes and returns the first answer.
func (f *front) talk(t *testing.T, raw string) (*http.Response, string) {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, raw); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("%q: %v", raw, err)
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	return res, string(b)
}

func TestTheTargetOfARequestNamesTheHostOnce(t *testing.T) {
	t.Parallel()
	upstream := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Host+" "+r.RequestURI) })
	f := stand(t, Options{PublicURL: &url.URL{Scheme: "https", Host: "mcp.example"}}, upstream.URL)
	token := "Authorization: Bearer " + canary + "\r\nConnection: close\r\n\r\n"
	for head, want := range map[string]string{
		"GET /a HTTP/1.1\r\nHost: mcp.example\r\n":                         "200 mcp.example /a",
		"GET https://mcp.example/a?b HTTP/1.1\r\nHost: mcp.example\r\n":    "200 mcp.example /a?b",
		"GET http://mcp.example/a HTTP/1.1\r\nHost: evil.example\r\n":      "200 mcp.example /a", // the target counts, and the upstream sees no other
		"GET http://evil.example/a HTTP/1.1\r\nHost: mcp.example\r\n":      "421",
		"GET https://user@mcp.example/a HTTP/1.1\r\nHost: mcp.example\r\n": "400",
		"GET /a HTTP/1.1\r\n":          "400",
		"GET /a HTTP/1.0\r\n":          "400",
		"GET /a HTTP/1.1\r\nHost:\r\n": "400",
		"GET /a HTTP/1.1\r\nHost: mcp.example\r\nHost: mcp.example\r\n":         "400",
		"GET /a HTTP/1.1\r\nHost: mcp.example, evil.example\r\n":                "400",
		"GET /a HTTP/1.1\r\nHost: mcp.example@evil.example\r\n":                 "400",
		"CONNECT mcp.example:443 HTTP/1.1\r\nHost: mcp.example:443\r\n":         "400",
		"TRACE /a HTTP/1.1\r\nHost: mcp.example\r\n":                            "405",
		"OPTIONS * HTTP/1.1\r\nHost: mcp.example\r\n":                           "400",
		"GET mcp.example/a HTTP/1.1\r\nHost: mcp.example\r\n":                   "400",
		"GET https://mcp.example HTTP/1.1\r\nHost: mcp.example\r\n":             "400",
		"GET http://mcp.example/a/../b HTTP/1.1\r\nHost: mcp.example\r\n":       "400",
		"GET /a HTTP/1.1\r\nHost: mcp.example\r\nTransfer-Encoding: gzip\r\n":   "501",
		"GET /a HTTP/1.1\r\nHost: mcp.example\r\nContent-Length: 1, 2\r\n":      "400",
		"POST /a HTTP/1.1\r\nHost: mcp.example\r\nAuthorization : x\r\n":        "400",
		"GET /a HTTP/1.1\r\nHost: mcp.example\r\nX: a\r\n Authorization: b\r\n": "200 mcp.example /a", // one value
	} {
		res, body := f.talk(t, head+token)
		got := fmt.Sprint(res.StatusCode)
		if res.StatusCode == 200 {
			got += " " + body
		}
		if got != want && !(want == "400" && got == "431") {
			t.Errorf("%q: %s, want %s", head, got, want)
		}
	}
}
