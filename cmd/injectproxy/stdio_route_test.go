package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/proxy"
	"github.com/injectproxy/injectproxy/internal/telemetry"
)

// newInward returns the way into the routes of a configuration, and its log.
func newInward(t *testing.T, s settings) (inward, *eventLog) {
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
	return inward{in}, log
}

// What comes from within is sent where a rule says so, with its token, and
// nowhere else, whatever a server may name.
func TestInwardRequestsGoOnlyUnderARule(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test", "other.example.test")
	posts := o.url("/posts")
	in, log := newInward(t, settings{tables: fileAudiences + mcpRule(o.url("/mcp")) + mcpRule(posts, `methods = ["POST"]`), files: tokenFiles})
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
			if strings.Contains(tt.url, "/messages") && !strings.HasSuffix(a.Hint, "add a rule with the prefix "+o.url("/messages")) {
				t.Errorf("%s: hint %q", tt.url, a.Hint)
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

// A failure is told in the words that a client of the proxy would get; one of a
// request that nobody waits for is that.
func TestInwardFailuresAreExplained(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	in, log := newInward(t, settings{tables: fileAudiences + mcpRule("https://api.example.test:1/") + mcpRule(o.url("/")), files: tokenFiles})
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
