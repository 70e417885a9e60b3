package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestRuleDecidesWhichHeadersArrive(t *testing.T) {
	t.Setenv("INJECTPROXY_TEST_KEY", "key-of-the-environment")
	eachLeg(t, func(t *testing.T, client, upstream string) {
		o := newOrigin(t, upstream, nil, "api.example.test")
		tables := fileAudiences +
			rule(o.url("/replace")) +
			rule(o.url("/keep"), `existing = "keep"`) +
			rule(o.url("/bare"), `header = "X-Goog-Token"`, `scheme = ""`) +
			rule(o.url("/basic"), `scheme = "token"`, `strip = ["x-api-key", "X-Dummy"]`) +
			rule(o.url("/set"), `headers = { "X-Literal" = "plain words", "X-Env" = { env = "INJECTPROXY_TEST_KEY" }, "x-file" = { file = "key" } }`)
		b := newTestbed(t, settings{tables: tables, files: map[string]string{"a.token": tokenA + "\r\n", "b.token": tokenB, "key": "key of the file\n"}})
		c := b.client(client)
		for _, tt := range []struct {
			path string
			sent []string          // header names and values
			want map[string]string // what arrives; "" for nothing
		}{
			{"/replace", nil, map[string]string{"Authorization": "Bearer " + tokenA}},
			{"/replace", []string{"Authorization", "Bearer mine"}, map[string]string{"Authorization": "Bearer " + tokenA}},
			{"/replace", []string{"Authorization", "Basic one", "Authorization", "Bearer two"}, map[string]string{"Authorization": "Bearer " + tokenA}},
			{"/keep", nil, map[string]string{"Authorization": "Bearer " + tokenA}},
			{"/keep", []string{"Authorization", "Bearer mine"}, map[string]string{"Authorization": "Bearer mine"}},
			{"/bare", []string{"Authorization", "Bearer mine"}, map[string]string{"X-Goog-Token": tokenA, "Authorization": "Bearer mine"}},
			{"/bare", []string{"X-Goog-Token", "mine"}, map[string]string{"X-Goog-Token": tokenA, "Authorization": ""}},
			{"/basic", []string{"X-Api-Key", "dummy", "X-Dummy", "a", "X-Dummy", "b", "X-Kept", "c"},
				map[string]string{"Authorization": "token " + tokenA, "X-Api-Key": "", "X-Dummy": "", "X-Kept": "c"}},
			{"/set", []string{"X-Literal", "mine", "X-File", "mine", "X-File", "twice"},
				map[string]string{"Authorization": "Bearer " + tokenA, "X-Literal": "plain words", "X-Env": "key-of-the-environment", "X-File": "key of the file"}},
		} {
			call(t, c, "GET", o.url(tt.path), nil, tt.sent...).wantStatus(t, http.StatusOK)
			seen := o.one(t)
			for name, want := range tt.want {
				got := seen.header[name]
				if strings.Join(got, "|") != want || len(got) > 1 {
					t.Errorf("%s with %q: %s arrived as %q, want %q", tt.path, tt.sent, name, got, want)
				}
			}
		}
		// Which of two values counts is for nobody to guess.
		call(t, c, "GET", o.url("/keep"), nil, "Authorization", "one", "Authorization", "two").problem(t, http.StatusBadGateway)
		o.nothing(t)
	})
}

// A client that brings its own token deals with its own refusal: no token is
// acquired for it, which here would fail.
func TestKeptHeaderLeavesRefusalAndAudienceAlone(t *testing.T) {
	t.Parallel()
	eachLeg(t, func(t *testing.T, client, upstream string) {
		o := newOrigin(t, upstream, func(w http.ResponseWriter, _ sighting) { challenge(w) }, "api.example.test")
		b := newTestbed(t, settings{tables: fileAudiences + rule(o.url("/"), `existing = "keep"`)})
		r := call(t, b.client(client), "POST", o.url("/x"), strings.NewReader("body"), "Authorization", "Bearer mine")
		r.wantStatus(t, http.StatusUnauthorized)
		if r.header.Get("WWW-Authenticate") == "" || r.body != "the upstream's own refusal" {
			t.Errorf("the refusal did not arrive as it was: %v %q", r.header, r.body)
		}
		if seen := o.one(t); seen.bearer() != "mine" {
			t.Errorf("token %q arrived", seen.bearer())
		}
		b.log.wait(t, "msg=request", "status=401", "attempt=1", `token=""`)
		call(t, b.client(client), "GET", o.url("/x"), nil).problem(t, http.StatusBadGateway) // without its own it needs one
		o.nothing(t)
	})
}

func TestOtherMethodIsForwardedWithoutToken(t *testing.T) {
	t.Parallel()
	eachLeg(t, func(t *testing.T, client, upstream string) {
		o := newOrigin(t, upstream, nil, "api.example.test")
		tables := fileAudiences + rule(o.url("/"), `name = "everything"`) + rule(o.url("/v1"), `methods = ["GET", "POST"]`) +
			strings.Replace(rule(o.url("/v1"), `methods = ["PUT"]`, `name = "put"`), `"a"`, `"b"`, 1)
		b := newTestbed(t, settings{tables: tables, files: tokenFiles})
		for method, want := range map[string]string{
			"GET": tokenA, "POST": tokenA, "PUT": tokenB,
			"DELETE": "", "HEAD": "", "OPTIONS": "", "PROPFIND": "", "get": "", "TRACE": "",
		} {
			call(t, b.client(client), method, o.url("/v1/x"), nil).wantStatus(t, http.StatusOK)
			if seen := o.one(t); seen.bearer() != want || seen.method != method {
				t.Errorf("%s arrived as %s with token %q, want %q", method, seen.method, seen.bearer(), want)
			}
		}
		p := call(t, b.client(client), "TRACE", o.url("/x"), nil).problem(t, http.StatusMethodNotAllowed)
		if !strings.Contains(p.Title, "TRACE") {
			t.Errorf("title %q", p.Title)
		}
		o.nothing(t)
	})
}

func TestBytesThatNoHeaderMayCarryAreNeverSent(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	files, tables := map[string]string{"good.token": tokenA}, "[audience.good]\ntoken_file = \"good.token\"\n"
	bad := map[string]string{
		"cr": "xq7\rzz", "lf": "xq7\nzz", "crlf": "xq7\r\nX-Evil: 1", "nul": "xq7\x00zz", "twolf": "xq7\n\n",
		"lead": "\nxq7", "del": "xq7\x7fzz", "utf8": "xq7é", "empty": "\n",
	}
	for name, value := range bad {
		files[name+".token"], files[name+".header"] = value, value
		tables += fmt.Sprintf("[audience.%s]\ntoken_file = \"%s.token\"\n", name, name)
	}
	for name := range bad {
		tables += strings.Replace(rule(o.url("/token/"+name)), `"a"`, `"`+name+`"`, 1)
		tables += strings.Replace(rule(o.url("/header/"+name), fmt.Sprintf(`headers = { "X-Key" = { file = "%s.header" } }`, name)), `"a"`, `"good"`, 1)
	}
	b := newTestbed(t, settings{tables: tables, files: files})
	for _, client := range []string{"h1", "h2"} {
		c := b.client(client)
		for name := range bad {
			for _, place := range []string{"token", "header"} {
				p := call(t, c, "GET", o.url("/"+place+"/"+name), nil).problem(t, http.StatusBadGateway)
				if p.Type != "urn:injectproxy:problem:token-misconfigured" || strings.Contains(p.Detail+p.Hint, "xq7") {
					t.Errorf("%s in a %s: %+v", name, place, p)
				}
				o.nothing(t)
			}
		}
	}
	call(t, b.client("h1"), "GET", o.url("/other"), nil).wantStatus(t, http.StatusOK) // the upstream itself is there
	o.one(t)
}

func TestHeaderWithoutAValueSaysWhatToSet(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	b := newTestbed(t, settings{files: tokenFiles, tables: fileAudiences +
		rule(o.url("/env"), `headers = { "X-Key" = { env = "INJECTPROXY_TEST_UNSET" } }`) + rule(o.url("/file"), `headers = { "X-Key" = { file = "missing.key" } }`)})
	for path, name := range map[string]string{"/env": "INJECTPROXY_TEST_UNSET", "/file": "missing.key"} {
		p := call(t, b.client("h2"), "GET", o.url(path), nil).problem(t, http.StatusBadGateway)
		if !strings.HasPrefix(p.Detail, "header X-Key: ") || !strings.Contains(p.Detail, name) || !strings.Contains(p.Hint, name) {
			t.Errorf("%s: %q, hint %q", path, p.Detail, p.Hint)
		}
		o.nothing(t)
	}
}
