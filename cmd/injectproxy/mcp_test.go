package main

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/injectproxy/injectproxy/internal/entratest"
	"github.com/injectproxy/injectproxy/internal/inject"
	"github.com/injectproxy/injectproxy/internal/proxy"
	"github.com/injectproxy/injectproxy/internal/token"
)

func TestFailureToGetATokenIsTheErrorOfAnMCPRequest(t *testing.T) {
	asTestClient(t)
	for name, tt := range map[string]struct {
		failure entratest.Failure
		status  int
		says    []string
	}{
		"second factor": {entratest.AADSTS(50076), 511, []string{"AADSTS50076", "az login", "api://" + apiOne}},
		"unknown API":   {entratest.AADSTS(500011), 502, []string{"AADSTS500011", "client_id"}},
		"no consent":    {entratest.AADSTS(65001), 502, []string{"AADSTS65001", "consent"}},
		"policy":        {entratest.AADSTS(53003), 502, []string{"AADSTS53003", "conditional access"}},
		"throttled":     {entratest.Failure{Status: 429, RetryAfter: 17 * time.Second}, 503, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := startIdentity(t)
			o := newOrigin(t, "h2", nil, "api.example.test")
			tables := entraAudiences + mcpRule(o.url("/mcp")) + mcpRule(o.url("/pass"), `unauthorized = "pass"`)
			for _, kind := range []string{"llm", "share", "http"} {
				tables += rule(o.url("/"+kind), `kind = "`+kind+`"`)
			}
			b := newTestbed(t, settings{entra: a, tables: tables})
			a.Fail(failing(apiOne, tt.failure))
			for _, client := range []string{"h1", "h2"} {
				c := b.client(client)
				for _, path := range []string{"/mcp", "/pass"} {
					r := post(t, c, o.url(path), callTool(`"7"`))
					if tt.status == http.StatusServiceUnavailable {
						r.problem(t, tt.status)
						continue
					}
					message, _ := r.explained(t, `"7"`, tt.status)
					for _, s := range tt.says {
						if !strings.Contains(message, s) {
							t.Errorf("%q does not say %q", message, s)
						}
					}
					if r.header.Get("X-Should-Retry") != "false" {
						t.Error("it may be tried again")
					}
				}
				for _, kind := range []string{"llm", "share", "http"} {
					post(t, c, o.url("/"+kind), callTool(`"7"`)).problem(t, tt.status)
				}
				for _, method := range []string{"GET", "DELETE"} {
					call(t, c, method, o.url("/mcp"), nil).problem(t, tt.status)
				}
				call(t, c, "PUT", o.url("/mcp"), strings.NewReader(callTool(`"7"`))).problem(t, tt.status)
				o.nothing(t)
			}
			if tt.status != http.StatusServiceUnavailable {
				b.log.wait(t, "msg=request", "kind=mcp", "status=200", "problem=")
			}
		})
	}
}

// without is a configuration whose audience never has a token.
func without(o *origin) settings {
	return settings{tables: fileAudiences + mcpRule(o.url("/")), files: map[string]string{"b.token": tokenB}}
}

func TestIDIsRepeatedByteForByte(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	b := newTestbed(t, without(o))
	for _, client := range []string{"h1", "h2"} {
		c := b.client(client)
		for _, id := range []string{
			`1`, `0`, `-1`, `1e3`, `1.0`, `9007199254740993`, `123456789012345678901234567890`, `""`, `"a"`, `"\u0061\/<&>"`,
			`"grüß\ud83d\ude00"`, `"` + strings.Repeat("x", 4000) + `"`,
		} {
			post(t, c, o.url("/mcp"), callTool(id)).explained(t, id, http.StatusBadGateway)
			chunked := undeclared{strings.NewReader(" \r\n" + callTool(id) + "\n")}
			postBody(t, c, o.url("/mcp"), chunked).explained(t, id, http.StatusBadGateway)
		}
		wide := callTool(`"` + strings.Repeat(" ", 10) + `"`)
		wide += strings.Repeat(" ", mostGlimpse-len(wide))
		for _, body := range []io.Reader{strings.NewReader(wide), undeclared{strings.NewReader(wide)}} {
			postBody(t, c, o.url("/mcp"), body).explained(t, `"          "`, http.StatusBadGateway)
		}
	}
	o.nothing(t)
}

func TestWhatIsNoRequestKeepsThePlainStatus(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	b := newTestbed(t, without(o))
	one := callTool("1")
	for name, body := range map[string]string{
		"empty":           "",
		"notification":    `{"jsonrpc":"2.0","method":"notifications/initialized"}`,
		"null id":         callTool("null"),
		"response":        `{"jsonrpc":"2.0","id":1,"result":{}}`,
		"batch":           "[" + one + "]",
		"id twice":        strings.Replace(one, `"method"`, `"id":2,"method"`, 1),
		"ID":              strings.Replace(one, `"id"`, `"ID"`, 1),
		"byte order mark": "\ufeff" + one,
		"invalid UTF-8":   callTool("\"\xff\""),
		"id of 100 KiB":   callTool(`"` + strings.Repeat("x", 100<<10) + `"`),
		"2 MiB":           one + strings.Repeat(" ", 2<<20),
		"1 MiB and 1":     one + strings.Repeat(" ", mostGlimpse+1-len(one)),
		"two messages":    one + one,
		"cut":             one[:len(one)-1],
		"form":            "grant_type=client_credentials",
		"other protocol":  `{"id":1,"method":"m"}`,
	} {
		for _, client := range []string{"h1", "h2"} {
			for kind, r := range map[string]io.Reader{"declared": strings.NewReader(body), "chunked": undeclared{strings.NewReader(body)}} {
				t.Run(name+" "+client+" "+kind, func(t *testing.T) {
					postBody(t, b.client(client), o.url("/mcp"), r).problem(t, http.StatusBadGateway)
				})
			}
		}
	}
	o.nothing(t)
}

func TestFailureOfTheUpstreamIsNoErrorOfTheRequest(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, "h2", nil, "api.example.test")
	gone := "https://gone.example.invalid/"
	b := newTestbed(t, settings{tables: fileAudiences + mcpRule(gone) + mcpRule(o.url("/")), files: tokenFiles})
	for _, client := range []string{"h1", "h2"} {
		if p := post(t, b.client(client), gone, callTool("1")).problem(t, http.StatusBadGateway); p.Type != "urn:injectproxy:problem:upstream-unknown" {
			t.Errorf("%+v", p)
		}
	}
}

func TestOnlyWantOfATokenIsExplained(t *testing.T) {
	t.Parallel()
	withheld := answering{roundTrip(func(*http.Request) (*http.Response, error) { return nil, inject.ErrRefused })}
	_, refused := withheld.RoundTrip(nil)
	for name, tt := range map[string]struct {
		err  error
		want bool
	}{
		"sign-in":       {tokenAnswer(&token.Error{Class: token.SignIn}), true},
		"declined":      {tokenAnswer(&token.Error{Class: token.Declined}), true},
		"policy":        {tokenAnswer(&token.Error{Class: token.Policy}), true},
		"misconfigured": {tokenAnswer(&token.Error{Class: token.Misconfigured}), true},
		"transient":     {tokenAnswer(&token.Error{Class: token.Transient}), false},
		"withheld":      {refused, false},
		"upstream":      {&proxy.Answer{Status: http.StatusBadGateway, Type: "upstream-aborted"}, false},
		"unknown":       {errors.New("reset"), false},
	} {
		a := noToken(tt.err)
		if (a != nil) != tt.want || a != nil && (error(a) == tt.err || a.Title != tt.err.(*proxy.Answer).Title) {
			t.Errorf("%s: %v", name, a)
		}
	}
}
