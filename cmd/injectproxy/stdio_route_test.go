package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/match"
	"github.com/injectproxy/injectproxy/internal/proxy"
	"github.com/injectproxy/injectproxy/internal/telemetry"
)

// newInward returns the way to the server at the given URL into the routes of a
// configuration, and its log.
func newInward(t *testing.T, server string, s settings) (inward, *eventLog) {
	t.Helper()
	cfg, problems := config.Load(s.write(t, t.TempDir()))
	if cfg == nil {
		t.Fatal(problems)
	}
	log := new(eventLog)
	l, err := telemetry.NewLogger(log, "debug", "text")
	must(t, err)
	in, _, err := prepare(cfg, surroundings{log: l, resolve: resolveTestName, environ: noTools(t.TempDir()), toolDirs: []string{}})
	must(t, err)
	t.Cleanup(in.close)
	must(t, in.takeOver(cfg))
	u, err := url.Parse(server)
	must(t, err)
	authority, err := match.Authority(u.Host)
	must(t, err)
	setting := &stdioSetting{cfg: cfg, url: u, authority: authority}
	must(t, setting.covered())
	way, err := in.toServer(setting)
	must(t, err)
	return way, log
}

// What comes from within is sent where a rule says so, with its token, and
// nowhere else, whatever a server may name.
func TestInwardRequestsGoOnlyUnderARule(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test", "other.example.test")
	posts := o.url("/posts")
	in, log := newInward(t, o.url("/mcp"), settings{tables: fileAudiences + mcpRule(o.url("/mcp")) + mcpRule(posts, `methods = ["POST"]`), files: tokenFiles})
	other := strings.Replace(o.authority, "api.", "other.", 1)
	for _, tt := range []struct {
		method, url string
		status      int    // of the answer
		kind        string // of the error, if there is one
	}{
		{"POST", o.url("/mcp"), 200, ""},
		{"GET", o.url("/mcp/x?y=secret-query"), 200, ""},
		{"DELETE", o.url("/mcp"), 200, ""},
		{"POST", posts, 200, ""},
		{"GET", posts, 405, ""},
		{"DELETE", posts, 405, ""},
		{"POST", o.url("/messages?sessionId=secret-query"), 0, "token-withheld"},
		{"POST", o.url("/"), 0, "token-withheld"},
		{"POST", o.url("/mcp-admin"), 0, "token-withheld"},
		{"POST", o.url("/mcp/%2e%2e/admin"), 0, "token-withheld"},
		{"POST", "https://" + other + "/mcp", 0, "token-withheld"},
		{"POST", "http://" + o.authority + "/mcp", 0, "token-withheld"},
		{"POST", "https://u:secret-password@" + o.authority + "/mcp", 0, "token-withheld"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tt.method, tt.url, strings.NewReader("{}"))
		must(t, err)
		res, err := in.RoundTrip(req)
		a, _ := errors.AsType[*proxy.Answer](err)
		switch {
		case tt.kind != "":
			if a == nil || a.Type != tt.kind || strings.Contains(a.Line(), "secret") {
				t.Errorf("%s %s: %v", tt.method, tt.url, err)
			}
			o.nothing(t)
			continue
		case err != nil:
			t.Errorf("%s %s: %v", tt.method, tt.url, err)
			continue
		case res.StatusCode != tt.status:
			t.Errorf("%s %s: %s", tt.method, tt.url, res.Status)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if tt.status != 200 {
			o.nothing(t)
		} else if s := o.one(t); s.bearer() != tokenA || s.proto != 2 {
			t.Errorf("%s %s: over HTTP/%d with %v", tt.method, tt.url, s.proto, s.header)
		}
	}
	if n := strings.Count(log.String(), "msg=request"); n != 4 || strings.Contains(log.String(), "secret") {
		t.Errorf("%d requests were logged:\n%s", n, log)
	}
}

// A server that knows of another one on its host cannot have the user speak
// there: what is under a rule of another audience is not sent, by any method,
// while another rule of the same audience is as good as its own.
func TestServerCannotDirectMessagesToAnother(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	tables := fileAudiences + mcpRule(o.url("/a/")) + mcpRule(o.url("/too/")) +
		fmt.Sprintf("[[rule]]\nkind = \"mcp\"\nname = \"second\"\nprefix = %q\naudience = \"b\"\n", o.url("/b/"))
	in, _ := newInward(t, o.url("/a/mcp"), settings{tables: tables, files: tokenFiles})
	for _, method := range []string{"POST", "GET", "DELETE"} {
		for path, want := range map[string]string{"/a/x": "", "/too/x": "", "/b/messages": o.url("/b/…")} {
			req, err := http.NewRequestWithContext(t.Context(), method, o.url(path), strings.NewReader("{}"))
			must(t, err)
			res, err := in.RoundTrip(req)
			if err == nil {
				res.Body.Close()
			}
			a, _ := errors.AsType[*proxy.Answer](err)
			switch {
			case want == "" && err != nil:
				t.Errorf("%s %s: %v", method, path, err)
			case want == "":
				if s := o.one(t); s.bearer() != tokenA {
					t.Errorf("%s %s: %v", method, path, s.header)
				}
			case a == nil || a.Type != "token-withheld" || !strings.Contains(a.Line(), want) || !strings.Contains(a.Line(), "rule second"):
				t.Errorf("%s %s: %v", method, path, err)
			default:
				o.nothing(t)
			}
		}
	}
}

// What is told of a place without a rule holds nothing of what may be a session's
// id, and the remedy is one.
func TestPlaceWithoutARuleIsToldWithItsRemedy(t *testing.T) {
	t.Parallel()
	server, err := url.Parse("https://h.example/servers/github/sse")
	must(t, err)
	const all = ", or --audience NAME, which covers all of h.example"
	for said, want := range map[string]struct{ place, remedy string }{
		"/messages/SESSION-CANARY":            {"https://h.example/messages/…", "such as https://h.example/" + all},
		"/messages?id=CANARY":                 {"https://h.example/messages", "such as https://h.example/" + all},
		"/c0ffee/CANARY":                      {"https://h.example/…", "such as https://h.example/" + all},
		"/servers/github/messages/CANARY":     {"https://h.example/servers/…", "such as https://h.example/servers/github/" + all},
		"/servers/github2/CANARY":             {"https://h.example/servers/…", "such as https://h.example/servers/" + all},
		"/":                                   {"https://h.example/", "such as https://h.example/" + all},
		"https://other.example:8443/x/CANARY": {"https://other.example:8443/x/…", "give the URL of that server"},
	} {
		u, err := server.Parse(said)
		must(t, err)
		way := inward{server: server}
		place, remedy := way.place(u), way.remedy(match.NoPrefix, &http.Request{Method: "POST", URL: u})
		if place != want.place || !strings.Contains(remedy, want.remedy) || strings.Contains(remedy, "CANARY") {
			t.Errorf("%s: %s: %s", said, place, remedy)
		}
		if got := way.remedy(match.Ambiguous, &http.Request{Method: "POST", URL: u}); got != "" {
			t.Errorf("%s: %s", said, got)
		}
	}
}

// A server that is spoken to by its stream alone is not said to have none, where
// a rule leaves out the method.
func TestRuleWithoutGetIsToldToWhoNeedsAStream(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	in, _ := newInward(t, o.url("/mcp"), settings{tables: fileAudiences + mcpRule(o.url("/mcp"), `methods = ["POST"]`), files: tokenFiles})
	in.streams = true
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, o.url("/mcp"), http.NoBody)
	must(t, err)
	res, err := in.RoundTrip(req)
	if err == nil {
		res.Body.Close()
	}
	if a, ok := errors.AsType[*proxy.Answer](err); !ok || a.Hint != "add GET to the methods of the rule" {
		t.Errorf("%v", err)
	}
	o.nothing(t)
}

// A failure is told in the words that a client of the proxy would get; one of a
// request that nobody waits for is that.
func TestInwardFailuresAreExplained(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	in, log := newInward(t, "https://api.example.test:1/", settings{tables: fileAudiences + mcpRule("https://api.example.test:1/") + mcpRule(o.url("/")), files: tokenFiles})
	send := func(ctx context.Context, target string) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, http.NoBody)
		must(t, err)
		res, err := in.RoundTrip(req)
		if err == nil {
			res.Body.Close()
		}
		return err
	}
	err := send(t.Context(), "https://api.example.test:1/")
	line, data := explainTo("api.example.test:1")(err)
	if a, ok := errors.AsType[*proxy.Answer](err); !ok || a.Type != "upstream-refused" || line != a.Line() || data == nil {
		t.Errorf("%v: %q", err, line)
	}
	line, data = explainTo("api.example.test:1")(io.ErrUnexpectedEOF)
	if !strings.HasPrefix(line, "The upstream ended the connection: ") || data == nil {
		t.Errorf("%q", line)
	}
	if err := send(canceled(), o.url("/")); err != context.Canceled { // itself: it has no words for anybody
		t.Errorf("%v", err)
	}
	if line, _ := explainTo("a:1")(&url.Error{Op: "Post", URL: "https://a/?secret", Err: context.Canceled}); strings.Contains(line, "secret") {
		t.Errorf("%q", line)
	}
	if n := strings.Count(log.String(), "msg=request"); n != 2 {
		t.Errorf("%d requests were logged:\n%s", n, log)
	}
}
