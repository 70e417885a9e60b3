package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/entratest"
)

// scenarioSettings are one audience of each kind that works and of each that
// does not, under one rule each.
func scenarioSettings(a *entratest.Authority, board *switchboard, secrets map[string]string) settings {
	s := settings{
		entra: a,
		top:   fmt.Sprintf("upstream_proxy = %q\nno_proxy = [\"127.0.0.1\"]\n", board.url(url.UserPassword("proxyuser", secrets["upstream proxy"]))),
		files: map[string]string{
			"a.token": secrets["token of a file"] + "\n", "broken.token": secrets["broken token"] + "\r\nX: y\n",
			"key": secrets["header of a file"], "broken.key": secrets["header of a file"] + "\x00\n",
		},
	}
	s.tables = "[token]\ntimeout = \"2s\"\n"
	audiences := map[string]string{
		"a":          `token_file = "a.token"`,
		"env":        `token_env = "INJECTPROXY_TEST_TOKEN"`,
		"cmd":        fmt.Sprintf(`token_command = ["sh", "-c", "echo \"$1\"; echo \"$2\" >&2", "sh", %q, %q]`, secrets["token of a command"], secrets["argument of a command"]),
		"entra":      fmt.Sprintf("client_id = %q", apiOne),
		"failing":    fmt.Sprintf("client_id = %q", apiTwo),
		"brokenfile": `token_file = "broken.token"`,
		"brokenenv":  `token_env = "INJECTPROXY_TEST_BROKEN"`,
		"brokencmd":  fmt.Sprintf(`token_command = ["sh", "-c", "echo \"$0\"; echo \"$0\" >&2; exit 3", %q]`, secrets["output of a command"]),
		"brokenjson": fmt.Sprintf(`token_command = ["printf", "{\"token\": \"%%s\", \"expires_on\": \"%%s\"}", %q, %q]`, secrets["output of a command"], secrets["argument of a command"]),
		"nocmd":      fmt.Sprintf(`token_command = ["injectproxy-no-such-program", %q]`, secrets["argument of a command"]),
	}
	for name, source := range audiences {
		s.tables += fmt.Sprintf("[audience.%s]\n%s\n", name, source)
	}
	headers := fmt.Sprintf(`headers = { "X-Literal" = %q, "X-File" = { file = "key" }, "X-Env" = { env = "INJECTPROXY_TEST_HEADER" } }`, secrets["literal header"])
	for name := range audiences {
		s.tables += strings.Replace(rule("https://api.example.test/"+name, headers), `"a"`, `"`+name+`"`, 1)
	}
	for _, path := range []string{"held", "refused", "abort"} {
		s.tables += strings.Replace(rule("https://api.example.test/"+path, headers), `"a"`, `"entra"`, 1)
	}
	s.tables += rule("https://api.example.test/keep", `existing = "keep"`)
	s.tables += rule("https://api.example.test/brokenkey", `headers = { "X-Key" = { file = "broken.key" } }`)
	s.tables += rule("https://api.example.test/nokey", `headers = { "X-Key" = { env = "INJECTPROXY_TEST_UNSET" } }`)
	s.tables += rule("https://wrongcert.example.test/") + rule("https://refused.example.test/") + rule("https://late.example.test/")
	return s
}

// scenarioRequest sends a request that is full of the client's own secrets.
func scenarioRequest(t *testing.T, c *http.Client, method, target string, secrets map[string]string) (reply, error) {
	if strings.HasPrefix(target, "/") {
		target = "https://api.example.test" + target
	}
	target += "?key=" + url.QueryEscape(secrets["query"]) + "&raw=" + secrets["query"]
	req, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader("body "+secrets["request body"]))
	if err != nil {
		return reply{}, err
	}
	req.Header.Set("Authorization", "Bearer "+secrets["client's authorization"])
	req.Header.Set("Cookie", "session="+secrets["cookie"])
	return trySend(c, req)
}

func scenarioRequests(t *testing.T, c *http.Client, a *entratest.Authority, secrets map[string]string, shown *evidence) {
	t.Helper()
	get := func(method, target string, want int) {
		t.Helper()
		r, err := scenarioRequest(t, c, method, target, secrets)
		if r.status != want {
			t.Errorf("%s %s: status %d, %v, want %d", method, target, r.status, err, want)
		}
		shown.reply(r)
	}
	for _, path := range []string{"/a", "/env", "/cmd", "/entra", "/keep", "/elsewhere", "/a/%2e%2e/x"} {
		get("POST", path, http.StatusOK)
	}
	for _, path := range []string{"/brokenfile", "/brokenenv", "/brokencmd", "/brokenjson", "/nocmd", "/brokenkey", "/nokey", "/abort"} {
		get("POST", path, http.StatusBadGateway)
	}
	get("POST", "/refused", http.StatusUnauthorized)
	get("TRACE", "/a", http.StatusMethodNotAllowed)
	get("POST", "https://wrongcert.example.test/x", http.StatusBadGateway)
	get("POST", "https://refused.example.test/x", http.StatusBadGateway)
	// An identity service that tells what it was told.
	told := fmt.Sprintf("the secret %s is wrong", secrets["client secret"])
	defer a.FailNext(1, failing(apiTwo, entratest.Failure{Code: 7000215, Description: told}))()
	get("POST", "/failing", http.StatusBadGateway)
}

// scenarioStrangers are clients that do not get far.
func scenarioStrangers(t *testing.T, b *testbed, secrets map[string]string, shown *evidence) {
	t.Helper()
	own := "Authorization: Bearer " + secrets["client's authorization"] + "\r\n"
	right := "Proxy-Authorization: " + basic("injectproxy", secrets["credential"]) + "\r\n"
	wrong := "Proxy-Authorization: " + basic("injectproxy", secrets["wrong credential"]) + "\r\n"
	for _, request := range []string{
		connectTo("api.example.test:443"),
		"CONNECT api.example.test:443 HTTP/1.1\r\nHost: api.example.test:443\r\n" + wrong + own + "\r\n",
		"CONNECT api.example.test:443 HTTP/1.1\r\nHost: api.example.test:443\r\nProxy-Authorization: Bearer " + secrets["wrong credential"] + "\r\n\r\n",
		"CONNECT user:" + secrets["wrong credential"] + "@api.example.test:443 HTTP/1.1\r\nHost: x\r\n" + right + "\r\n",
		"GET /?key=" + secrets["query"] + " HTTP/1.1\r\nHost: x\r\n" + right + own + "\r\n",
		"GET https://api.example.test/a?key=" + secrets["query"] + " HTTP/1.1\r\nHost: x\r\n" + right + own + "\r\n",
		"GET http://user:" + url.PathEscape(secrets["wrong credential"]) + "@169.254.169.254/?key=" + secrets["query"] + " HTTP/1.1\r\nHost: x\r\n" + right + own + "\r\n",
		"GET /" + secrets["query"] + " HTTP/1.1\r\nBroken line " + secrets["cookie"] + "\r\n\r\n",
		secrets["request body"] + "\r\n\r\n",
	} {
		shown.reply(atDoor(t, b.addr, request))
	}
	// Who does not trust our CA, and who speaks no TLS where it should.
	stranger := clientOf(t, &url.URL{Scheme: "http", Host: b.addr, User: url.UserPassword("x", secrets["credential"])}, origins().cert, "h1")
	_, err := scenarioRequest(t, stranger, "GET", "/a", secrets)
	if err == nil {
		t.Error("a client that does not trust the CA got an answer")
	}
	shown.add("errors of clients", errors.Unwrap(err).Error())
	conn, err := net.Dial("tcp", b.addr)
	must(t, err)
	defer conn.Close()
	io.WriteString(conn, "CONNECT api.example.test:443 HTTP/1.1\r\nHost: api.example.test:443\r\n"+right+"\r\nGET /?"+secrets["query"]+" HTTP/1.1\r\n"+own+"\r\n")
	io.ReadAll(conn) // until it is closed
	b.log.wait(t, "TLS handshake", "api.example.test:443")
}

// scenarioCommands are what users run to see what is going on.
func scenarioCommands(t *testing.T, b *testbed, secrets map[string]string, shown *evidence) {
	t.Helper()
	try := func(where string, args ...string) {
		var out bytes.Buffer
		status := run(args, &out, &out)
		shown.add(where, fmt.Sprintf("%s: %d\n%s", args[0], status, out.String()))
	}
	good := b.dir + "/config.toml"
	broken := b.dir + "/broken.toml"
	writeTestFile(t, broken, fmt.Sprintf("upstream_proxy = %q\n[audience.a]\ntoken_env = %q\ntoken_file = %q\n[audience.b]\ntoken_command = %q\n"+
		"[[rule]]\nprefix = %q\naudience = \"a\"\nheaders = { \"X\" = %q, \"Host\" = %q, \"Y\" = { env = %q } }\n",
		"socks5://u:"+secrets["upstream proxy"]+"@h:1", secrets["token of a variable"], "x", secrets["argument of a command"],
		"https://u:"+secrets["wrong credential"]+"@api.example.test/", secrets["literal header"]+"\x7f", secrets["literal header"], secrets["header of a variable"]))
	for _, cfg := range []string{good, broken} {
		try("check", "check", "--config", cfg)
		try("check", "check", "--json", "--config", cfg)
		for _, target := range []string{"/a", "/cmd", "/keep", "/entra", "/elsewhere"} {
			target = "https://api.example.test" + target + "?key=" + secrets["query"] + "#" + url.QueryEscape(secrets["query"])
			try("explain", "explain", "--config", cfg, target)
			try("explain", "explain", "--json", "--config", cfg, target)
		}
		try("explain", "explain", "--config", cfg, "https://user:"+secrets["wrong credential"]+"@api.example.test/")
	}
	// serve gives up this process's cores for good, so that it gets its own.
	said, status := runToEnd(t, b.dir, nil, "serve", "--config", broken)
	shown.add("serve", fmt.Sprintf("serve: %d\n%s", status, said))
	var f *failure
	if _, _, err := (&globals{config: b.dir + "/absent.toml"}).load(); errors.As(err, &f) {
		shown.add("errors", err.Error())
	}
}
