package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A client's messages reach the server with the token of the rule, and its
// session is ended when the client ends.
func TestStdioBridgesByTheRuleOfTheURL(t *testing.T) {
	t.Parallel()
	m := newRemote(t, tokenA)
	p := startStdio(t, m.ruled(t, ""), nil, m.url)
	p.begin()
	if got := p.call("1", "x"); !strings.Contains(got, `"done"`) {
		t.Errorf("%s", got)
	}
	p.finish()
	if p.stderr.String() != "" {
		t.Errorf("on standard error:\n%s", p.stderr.String())
	}
	for _, s := range m.sightings() {
		if s.bearer() != tokenA || s.proto != 2 || s.header.Get("User-Agent") != userAgent() {
			t.Errorf("%s over HTTP/%d: %v", s.method, s.proto, s.header)
		}
	}
	m.ended(t)
}

// Flags say what the token is and how to get to the server, without any rule.
// (The configuration is read for the roots of the test alone.)
func TestStdioNeedsNoRule(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		token string
		args  []string
		env   []string
	}{
		"a token of the environment": {"token-of-env", []string{"--token-env", "TOK"}, []string{"TOK=token-of-env"}},
		"an audience":                {tokenB, []string{"--audience", "b"}, nil},
		"the other bridge's token":   {"token-of-env", nil, []string{entraToken + "=token-of-env"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newRemote(t, tt.token)
			home := t.TempDir()
			file := settings{tables: fileAudiences, files: tokenFiles}.write(t, home)
			args := append(tt.args, "--config", file, "--upstream-proxy", m.board.url(nil),
				"--header", "X-Team: ${TEAM}", "--header", "user-agent: mine")
			env := append(tt.env, "TEAM=platform", entraURL+"="+m.url, entraHeaders+`={"X-Other":"other"}`)
			p := startStdio(t, home, env, args...)
			p.begin()
			p.call("1", "x")
			p.finish()
			for _, s := range m.sightings() {
				if s.bearer() != tt.token || s.header.Get("X-Team") != "platform" || s.header.Get("X-Other") != "other" || s.header.Get("User-Agent") != "mine" {
					t.Errorf("%s: %v", s.method, s.header)
				}
			}
			m.board.mu.Lock()
			asked := slices.Clone(m.board.asked)
			m.board.mu.Unlock()
			if len(asked) == 0 || !strings.HasPrefix(asked[0], "CONNECT live.example.test:") {
				t.Errorf("the upstream proxy was asked for %q", asked)
			}
		})
	}
}

// Each request is in the audit file, the log and nowhere else, and no secret is
// in either.
func TestStdioRequestsAreAuditedAndNoSecretIsTold(t *testing.T) {
	t.Parallel()
	const canary = "cnry+stdio~a1b2c3"
	m := newRemote(t, canary+"-token")
	audit := filepath.Join(t.TempDir(), "audit.jsonl")
	home := t.TempDir()
	writeTestFile(t, filepath.Join(home, "token"), canary+"-token")
	settings{top: m.way(), tables: fmt.Sprintf("[audience.a]\ntoken_file = \"token\"\n[log]\naudit = %q\n", audit) + mcpRule(m.url, `name = "remote"`)}.write(t, home)
	p := startStdio(t, home, []string{"KEY=" + canary + "-key", "OTEL_TRACES_EXPORTER=console"},
		"--log-level", "debug", "--header", "X-Key: ${KEY}", m.url+"?key="+canary+"-query")
	p.begin()
	p.say(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":{"secret":"` + canary + `-argument"}}}`)
	p.answer("1")
	p.stderr.wait(t, "msg=request", "method=GET", "status=405") // which the end would not wait for
	m.revoke("another")
	p.call("2", "x")
	p.finish()
	posts, deleted := 0, 0
	for _, l := range auditLines(t, audit) {
		left := l.Method == "DELETE" && l.Status == 0 // the end waits 300 ms for the answer: too little on a machine with much to do
		if l.Rule != "remote" || l.Path != "/mcp" || l.Token == "" || l.Status == 0 && !left {
			t.Errorf("%+v", l)
		}
		switch l.Method {
		case "POST":
			posts++
		case "DELETE":
			deleted++
		}
	}
	if posts != 4 || deleted != 1 {
		t.Errorf("%d POSTs and %d DELETEs were audited", posts, deleted)
	}
	lines, err := os.ReadFile(audit)
	must(t, err)
	said := p.stdout.String() + p.stderr.String() + string(lines)
	if found := leaks(said, map[string]string{"canary": canary}); found != nil {
		t.Errorf("told:\n%s", said)
	}
	for _, want := range []string{"msg=request", "rule=remote", `"TraceID"`} {
		if !strings.Contains(p.stderr.String(), want) {
			t.Errorf("standard error has no %s", want)
		}
	}
}

// A rule for POST alone is as a server that has nothing else: what the rule
// leaves out is not sent.
func TestStdioSendsNothingThatNoRuleCovers(t *testing.T) {
	t.Parallel()
	m := newRemote(t, tokenA)
	home := t.TempDir()
	settings{top: m.way(), tables: fileAudiences + mcpRule(m.url, `methods = ["POST"]`), files: tokenFiles}.write(t, home)
	p := startStdio(t, home, nil, m.url)
	p.begin()
	p.call("1", "x")
	p.finish()
	for _, s := range m.sightings() {
		if s.method != http.MethodPost {
			t.Errorf("%s was sent", s.method)
		}
	}
}
