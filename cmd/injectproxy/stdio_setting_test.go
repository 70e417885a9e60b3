package main

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/injectproxy/injectproxy/internal/config"
	"github.com/injectproxy/injectproxy/internal/stdio"
)

const (
	stdioGUID   = "58348f96-645d-4a2e-8c1d-000000000000"
	stdioTenant = "16b3c013-d300-468d-8c1d-000000000000"
)

// stdioRules are a configuration for URLs of mcp.corp.example.
const stdioRules = `
[audience.a]
token_env = "A"
[audience.b]
client_id = "` + stdioGUID + `"
[[rule]]
prefix = "https://mcp.corp.example/servers/"
audience = "a"
name = "servers"
strip = ["X-Stripped"]
headers = { "X-Set" = "1" }
[[rule]]
prefix = "https://mcp.corp.example/keyed/"
audience = "a"
header = "X-Token"
scheme = ""
[[rule]]
prefix = "https://mcp.corp.example/reading/"
audience = "a"
methods = ["GET"]
[[rule]]
prefix = "https://mcp.corp.example/servers/inner/"
audience = "b"
kind = "llm"
[team.platform]
prefixes = ["https://team.corp.example/"]
audiences = ["a"]
`

// brokenTeam is a team file with an error: the team's rules are off.
const brokenTeam = "team = \"platform\"\n[[rule]]\nprefix = \"https://team.corp.example/mcp\"\naudience = \"nobody\"\n"

// settingOf returns what a command line and an environment come to, with the
// given configuration, "" for none.
func settingOf(t *testing.T, conf string, env map[string]string, args ...string) (*stdioSetting, error) {
	t.Helper()
	var o stdioOptions
	cmd := &cobra.Command{}
	o.register(cmd)
	must(t, cmd.ParseFlags(args))
	if rest := cmd.Flags().Args(); len(rest) > 0 {
		o.url, o.urlGiven = rest[0], true
	}
	g := &globals{config: t.TempDir() + "/config.toml"}
	if conf != "" {
		g.config = settings{tables: conf, files: map[string]string{"rules.d/platform.toml": brokenTeam}}.write(t, t.TempDir())
	} else if len(args) > 0 && strings.HasPrefix(args[0], "--") || env[entraTarget]+env[entraToken] != "" {
		g.config = "" // none is read
	}
	var stderr strings.Builder
	s, err := g.stdioSetting(&stderr, o, func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	if strings.Contains(stderr.String(), "s3cret") {
		t.Errorf("shown: %s", stderr.String())
	}
	return s, err
}

const (
	corp    = "https://mcp.corp.example/servers/github"
	byToken = "--token-env=T0K"
)

// Whatever is wrong with the command line, the environment or the configuration
// is said with the name of the flag or variable, and never with its value, which
// may be a secret in the wrong place.
func TestStdioSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		conf string
		env  map[string]string
		args []string
		want string // how the error begins
		hint string // what the hint has
	}{
		{want: "stdio needs the URL of the MCP server", hint: "injectproxy stdio https://"},
		{args: []string{byToken, "http://s3cret.example/"}, want: "the URL is plain http", hint: "https://"},
		{args: []string{byToken, "https://s3cret:s3cret@a.example/"}, want: "the URL has a user before its host", hint: "--token-env"},
		{args: []string{byToken, "https://a.example/#s3cret"}, want: "the URL has a fragment", hint: "leave #"},
		{args: []string{byToken, "a.example/s3cret"}, want: "the URL does not begin with https://"},
		{args: []string{byToken, "ftp://a.example/s3cret"}, want: "the URL does not begin with https://"},
		{args: []string{byToken, "https:a.example/s3cret"}, want: "the URL does not begin with https://"},
		{args: []string{byToken, "https://a.example:99999/s3cret"}, want: "the URL has no host that can be reached"},
		{args: []string{byToken, "https:///s3cret"}, want: "the URL has no host that can be reached"},
		{args: []string{byToken, "https://a.example/\x01s3cret"}, want: "the URL is not a URL"},
		{args: []string{byToken, "https://a.example/%zz?s3cret"}, want: "the URL is not a URL"},
		{args: []string{byToken, ""}, want: "the URL does not begin with https://"},
		{env: map[string]string{entraURL: "http://s3cret.example/"}, want: entraURL + " is plain http"},
		{env: map[string]string{entraURL: "s3cret"}, want: entraURL + " does not begin with https://"},

		{conf: stdioRules, args: []string{"https://mcp.corp.example/s3cret"}, want: "no rule covers the URL", hint: "add a rule for it to "},
		{conf: stdioRules, args: []string{"https://other.example/"}, want: "no rule covers the URL", hint: "--audience"},
		{conf: stdioRules, args: []string{"https://mcp.corp.example/reading/x"}, want: "the rule that covers the URL is not for POST", hint: "add POST"},
		{conf: stdioRules, args: []string{"https://mcp.corp.example/servers/%2e%2e/x"}, want: "the URL gets no token: ", hint: "plainly"},
		{conf: stdioRules, args: []string{"https://team.corp.example/mcp"}, want: "a team file is broken: ", hint: "injectproxy check"},
		{conf: stdioRules, args: []string{"--audience", "x", corp}, want: `--audience: audience "x" is not defined`},
		{conf: stdioRules, args: []string{"--audience", "", corp}, want: "--audience is empty"},

		{args: []string{"--client-id", "s3cret", corp}, want: "--client-id: client_id is not a GUID", hint: "8-4-4-4-12"},
		{args: []string{"--client-id", "", corp}, want: "--client-id is empty"},
		{args: []string{"--resource", "s3cret s3cret", corp}, want: "--resource: resource has a character", hint: "letters"},
		{args: []string{"--resource", "https://a.example/.default", corp}, want: "--resource: resource ends in /.default", hint: "scope"},
		{args: []string{"--scope", "-s3cret", corp}, want: "--scope: scope has a character"},
		{args: []string{"--token-env", "NONE", corp}, want: "--token-env: that environment variable is not set"},
		{args: []string{"--token-env", "s3cret.value", corp}, want: "--token-env: that environment variable is not set"},
		{args: []string{"--token-env", "EMPTY", corp}, want: "--token-env: that environment variable is not set"},
		{args: []string{byToken, "--client-id", stdioGUID, corp}, want: "--client-id and --token-env say both what the token is"},
		{args: []string{"--audience", "a", "--scope", "x", corp}, want: "--audience and --scope say both what the token is"},
		{args: []string{byToken, "--tenant", stdioTenant, corp}, want: "--tenant goes with --client-id, --resource or --scope"},
		{args: []string{"--client-id", stdioGUID, "--tenant", "", corp}, want: "--tenant is empty"},
		{args: []string{"--client-id", stdioGUID, "--tenant", "s3cret", corp}, want: "--tenant: tenant is neither"},
		{args: []string{"--client-id", stdioGUID, "--tenant", "common", corp}, want: `--tenant: tenant "common" names no single tenant`},

		{args: []string{byToken, "--transport", "stdio", corp}, want: `--transport must be one of auto, http, sse, not "stdio"`},
		{args: []string{byToken, "--tool-timeout", "-1s", corp}, want: "--tool-timeout is less than 0"},
		{args: []string{byToken, "--allow-tool", "", corp}, want: "--allow-tool, --ignore-tool: "},
		{args: []string{byToken, "--ignore-tool", "a\nb", corp}, want: "--allow-tool, --ignore-tool: "},
		{args: []string{byToken, "--upstream-proxy", "", corp}, want: "--upstream-proxy: it is neither", hint: "env, direct"},
		{args: []string{byToken, "--upstream-proxy", "socks5://u:s3cret@p.example", corp}, want: "--upstream-proxy: it must be an http or https URL"},

		{args: []string{byToken, "--header", "s3cret", corp}, want: "--header has no colon", hint: "NAME: VALUE"},
		{args: []string{byToken, "--header", "s3cret s3cret: x", corp}, want: "--header: what stands before the colon is not a header name"},
		{args: []string{byToken, "--header", ": s3cret", corp}, want: "--header: what stands before the colon is not a header name"},
		{args: []string{byToken, "--header", "X-A:", corp}, want: "--header: X-A has a value that is empty"},
		{args: []string{byToken, "--header", "X-A: s3cret\r\nX-B: s3cret", corp}, want: "--header: X-A has a value that is empty or not visible ASCII"},
		{args: []string{byToken, "--header", "X-A: s3crét", corp}, want: "--header: X-A has a value that is empty or not visible ASCII"},
		{args: []string{byToken, "--header", "X-A: ${LINES}", corp}, want: "--header: X-A has a value that is empty or not visible ASCII"},
		{args: []string{byToken, "--header", "X-A: ${NONE}", corp}, want: "--header: the environment variable NONE is not set"},
		{args: []string{byToken, "--header", "X-A: ${EMPTY}", corp}, want: "--header: the environment variable EMPTY is not set"},
		{args: []string{byToken, "--header", "X-A: ${s3cret:x}", corp}, want: "--header: between ${ and } stands what is not the name"},
		{args: []string{byToken, "--header", "X-A: s3cret", "--header", "x-a: s3cret", corp}, want: "--header: x-a stands there twice"},
		{args: []string{byToken, "--header", "Authorization: Bearer s3cret", corp}, want: "--header: Authorization carries the token already", hint: "--token-env"},
		{args: []string{byToken, "--header", "authorization: s3cret", corp}, want: "--header: authorization carries the token already"},
		{args: []string{byToken, "--header", "Host: s3cret", corp}, want: "--header: Host belongs to the connection"},
		{args: []string{byToken, "--header", "proxy-authorization: s3cret", corp}, want: "--header: proxy-authorization belongs to the connection"},
		{args: []string{byToken, "--header", "mcp-session-id: s3cret", corp}, want: "--header: mcp-session-id is not for the user to set"},
		{args: []string{byToken, "--header", "MCP-Protocol-Version: 1", corp}, want: "--header: MCP-Protocol-Version is not for the user to set"},
		{args: []string{byToken, "--header", "accept: s3cret", corp}, want: "--header: accept is not for the user to set"},
		{args: []string{byToken, "--header", "Accept-Encoding: gzip", corp}, want: "--header: Accept-Encoding is not for the user to set"},
		{args: []string{byToken, "--header", "idempotency-key: s3cret", corp}, want: "--header: idempotency-key is not for the user to set"},
		{args: []string{byToken, "--header", "Last-Event-ID: 1", corp}, want: "--header: Last-Event-ID is not for the user to set"},
		{conf: stdioRules, args: []string{"--header", "X-Stripped: s3cret", corp}, want: "--header: X-Stripped is removed by rule servers"},
		{conf: stdioRules, args: []string{"--header", "x-set: s3cret", corp}, want: "--header: x-set is set by rule servers"},
		{conf: stdioRules, args: []string{"--header", "X-Token: s3cret", "https://mcp.corp.example/keyed/x"}, want: "--header: X-Token carries the token already"},

		{env: map[string]string{entraURL: corp, entraTarget: "s3cret s3cret"}, want: entraTarget + ": resource has a character"},
		{env: map[string]string{entraURL: corp, entraTarget: "api://x", entraTenant: "s3cret"}, want: entraTenant + ": tenant is neither"},
		{env: map[string]string{entraURL: corp, entraToken: "s3cret", entraMargin: "s3cret"}, want: entraMargin + " is not a number of minutes"},
		{env: map[string]string{entraURL: corp, entraToken: "s3cret", entraMargin: "-1"}, want: entraMargin + " is not a number of minutes"},
		{env: map[string]string{entraURL: corp, entraToken: "s3cret", entraMargin: "1e300"}, want: entraMargin + " is not a number of minutes"},
		{env: map[string]string{entraURL: corp, entraToken: "s3cret", entraTimeout: "s3cret"}, want: entraTimeout + " is not a number of seconds"},
		{env: map[string]string{entraURL: corp, entraToken: "s3cret", entraTimeout: "NaN"}, want: entraTimeout + " is not a number of seconds"},
		{env: map[string]string{entraURL: corp, entraToken: "s3cret", entraHeaders: "s3cret"}, want: entraHeaders + " is not a JSON object", hint: `{"X-Team"`},
		{env: map[string]string{entraURL: corp, entraToken: "s3cret", entraHeaders: `["s3cret"]`}, want: entraHeaders + " is not a JSON object"},
		{env: map[string]string{entraURL: corp, entraToken: "s3cret", entraHeaders: `{"s3cret":`}, want: entraHeaders + " is not a JSON object"},
		{env: map[string]string{entraURL: corp, entraToken: "s3cret", entraHeaders: `{"X":"s3cret"} s3cret`}, want: entraHeaders + " has something behind"},
		{env: map[string]string{entraURL: corp, entraToken: "s3cret", entraHeaders: `{"X":{"s3cret":1}}`}, want: entraHeaders + " has a value that is not a string"},
		{env: map[string]string{entraURL: corp, entraToken: "s3cret", entraHeaders: `{"X":"s3cret","x":"s3cret"}`}, want: entraHeaders + ": x stands there twice"},
		{env: map[string]string{entraURL: corp, entraToken: "s3cret", entraHeaders: `{"Authorization":"s3cret"}`}, want: entraHeaders + ": Authorization carries the token already"},
		{env: map[string]string{entraURL: corp, entraToken: "s3cret", entraHeaders: `{"s3cret s3cret":"s3cret"}`}, want: entraHeaders + ": what stands before the colon is not"},
	} {
		env := map[string]string{"T0K": "s3cret-token", "EMPTY": "", "LINES": "s3cret\ns3cret"}
		for name, value := range tt.env {
			env[name] = value
		}
		_, err := settingOf(t, tt.conf, env, tt.args...)
		var f *failure
		if err == nil {
			t.Errorf("%q %q: no error, want %q", tt.env, tt.args, tt.want)
			continue
		}
		if !errors.As(err, &f) || f.status != exitUsage || !strings.HasPrefix(err.Error(), tt.want) || !strings.Contains(f.hint, tt.hint) {
			t.Errorf("%q %q: %v (%+v), want %q", tt.env, tt.args, err, f, tt.want)
		}
		if strings.Contains(err.Error(), "s3cret") || f != nil && strings.Contains(f.hint, "s3cret") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q %q: shown: %q", tt.env, tt.args, err)
		}
	}
}

// What mcp-entra-auth-proxy takes from its environment comes to the same as our
// flags: in a client's configuration one word changes.
func TestVariablesOfTheOtherBridgeMeanWhatFlagsDo(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		env  map[string]string
		args []string
	}{
		"App ID URI": {map[string]string{entraTarget: "api://" + stdioGUID}, []string{"--resource", "api://" + stdioGUID}},
		"URI":        {map[string]string{entraTarget: "https://vault.azure.net/"}, []string{"--resource", "https://vault.azure.net/"}},
		"bare GUID":  {map[string]string{entraTarget: stdioGUID}, []string{"--resource", stdioGUID}},
		"scope":      {map[string]string{entraTarget: "api://" + stdioGUID + "/.default"}, []string{"--scope", "api://" + stdioGUID + "/.default"}},
		"tenant": {map[string]string{entraTarget: "api://x", entraTenant: " " + stdioTenant + " "},
			[]string{"--resource", "api://x", "--tenant", stdioTenant}},
		"left empty": {map[string]string{entraTarget: "api://x", entraTenant: "", entraMargin: "", entraTimeout: "", entraHeaders: "", entraToken: ""},
			[]string{"--resource", "api://x"}},
		"zero is the default's": {map[string]string{entraTarget: "api://x", entraTimeout: "0", entraMargin: "0"}, []string{"--resource", "api://x"}},
		"token":                 {map[string]string{entraToken: "t"}, []string{"--token-env", entraToken}},
		"token and resource":    {map[string]string{entraToken: "t", entraTarget: "api://x", entraTenant: stdioTenant}, []string{"--token-env", entraToken}},
		"time-out":              {map[string]string{entraToken: "t", entraTimeout: "90"}, []string{"--token-env", entraToken, "--tool-timeout", "90s"}},
		"headers": {map[string]string{entraToken: "t", entraHeaders: `{"X-Team":"platform", "x-key":"${T}"}`},
			[]string{"--token-env", entraToken, "--header", "X-Team:platform", "--header", "X-Key: $ {T}"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := map[string]string{entraURL: corp + "/", "T": "t"}
			for name, value := range tt.env {
				env[name] = value
			}
			got, err := settingOf(t, "", env)
			must(t, err)
			want, err := settingOf(t, "", map[string]string{entraToken: "t", "T": "t"}, append(tt.args, corp+"/")...)
			must(t, err)
			if want.notes = slices.DeleteFunc(want.notes, func(note string) bool { return note == entraToken+entraIgnored }); len(want.notes) > 0 {
				t.Errorf("noted: %q", want.notes)
			}
			if h := want.header["X-Key"]; h != nil { // only flags have variables in them
				h[0] = strings.ReplaceAll(h[0], " ", "")
			}
			a, b := *got.cfg.Audiences[0], *want.cfg.Audiences[0]
			a.Pos, b.Pos = config.Position{}, config.Position{}
			if !reflect.DeepEqual(a, b) {
				t.Errorf("audience %+v, want %+v", a, b)
			}
			if got.url.String() != want.url.String() || got.timeout != want.timeout || !reflect.DeepEqual(got.header, want.header) ||
				got.cfg.Token != want.cfg.Token || got.transport != stdio.Auto {
				t.Errorf("%+v, want %+v", got, want)
			}
			if noted := len(got.notes) == 1; noted != (name == "token and resource") {
				t.Errorf("noted: %q", got.notes)
			}
		})
	}
	s, err := settingOf(t, "", map[string]string{entraURL: corp, entraToken: "t", entraMargin: "7.5", entraTimeout: "1.5"})
	must(t, err)
	if s.cfg.Token.RefreshMargin != 450*time.Second || s.timeout != 1500*time.Millisecond {
		t.Errorf("margin %v, time-out %v", s.cfg.Token.RefreshMargin, s.timeout)
	}
}

func TestFlagsOfStdioWinOverTheEnvironment(t *testing.T) {
	t.Parallel()
	env := map[string]string{
		entraURL: corp, entraTarget: "api://env", entraTenant: "env.example", entraTimeout: "5", "T0K": "t", "KEY": "visible\n",
		entraHeaders: `{"X-A":"env","X-B":"env"}`,
	}
	s, err := settingOf(t, "", env, "--scope", "api://flag/.default", "--tenant", "flag.example", "--tool-timeout", "0", "--transport", "sse",
		"--header", "x-a: ${KEY}-${T0K}", "--upstream-proxy", "http://p.example:1", "--allow-tool", "get*", "--ignore-tool", "*secret")
	must(t, err)
	a := s.cfg.Audiences[0]
	want := http.Header{"X-A": {"visible-t"}, "X-B": {"env"}}
	if a.Scope != "api://flag/.default" || a.Resource != "" || a.Tenant != "flag.example" || s.timeout != 0 || s.transport != stdio.SSE || s.url.String() != corp ||
		!reflect.DeepEqual(s.header, want) || s.cfg.Upstream.Proxy != "url" || s.cfg.Upstream.URL.Host != "p.example:1" {
		t.Errorf("%+v for %+v", s, a)
	}
	for tool, shown := range map[string]bool{"get": true, "get_x": true, "get_secret": false, "set": false} {
		if s.tools(tool) != shown {
			t.Errorf("tool %s is shown: %v", tool, !shown)
		}
	}
	env[entraURL] = "http://broken/"
	s, err = settingOf(t, "", env, byToken, corp)
	must(t, err)
	if a := s.cfg.Audiences[0]; a.TokenEnv != "T0K" || a.Tenant != "" || s.timeout != 5*time.Second || s.tools != nil {
		t.Errorf("%+v for %+v", s, a)
	}
}

// What the other bridge takes from its environment is for the server that stands
// there, too: left over, it does not go to another one.
func TestVariablesOfAnotherServerAreIgnored(t *testing.T) {
	t.Parallel()
	env := map[string]string{
		entraURL: "https://other.example/", entraToken: "s3cret", entraTarget: "api://other", entraTenant: "s3cret", entraHeaders: `s3cret`, entraTimeout: "5",
	}
	s, err := settingOf(t, stdioRules, env, corp)
	must(t, err)
	note := entraTarget + ", " + entraToken + ", " + entraTenant + ", " + entraHeaders + entraIgnored
	if s.audience.Name != "a" || len(s.header) > 0 || s.timeout != 5*time.Second || !slices.Equal(s.notes, []string{note}) {
		t.Errorf("%+v", s)
	}
	s, err = settingOf(t, "", env, "--client-id", stdioGUID, corp)
	must(t, err)
	if a := s.cfg.Audiences[0]; a.Tenant != "" || len(s.header) > 0 || !slices.Equal(s.notes, []string{note}) {
		t.Errorf("%+v for %+v", s, a)
	}
	s, err = settingOf(t, "", map[string]string{entraToken: "t"}, "--token-env", entraToken, corp)
	must(t, err)
	if len(s.notes) > 0 {
		t.Errorf("noted: %q", s.notes)
	}
	if _, err := settingOf(t, stdioRules, env, "https://mcp.corp.example/elsewhere"); err == nil {
		t.Error("a URL without a rule got the token of another server")
	}
}

// No request to the server leaves without the token, by whatever method: a rule
// that keeps the header of who asks does not keep the user's.
func TestStdioRulesOfOtherMethodsCountToo(t *testing.T) {
	t.Parallel()
	const conf = `
[audience.a]
token_env = "A"
[[rule]]
prefix = "https://mcp.corp.example/"
audience = "a"
methods = ["POST"]
existing = "keep"
[[rule]]
prefix = "https://mcp.corp.example/"
audience = "a"
name = "others"
methods = ["GET", "DELETE"]
header = "X-Token"
scheme = ""
existing = "keep"
strip = ["X-Stripped"]
headers = { "X-Set" = "1" }
`
	for header, want := range map[string]string{
		"X-Token: mine":    "--header: X-Token carries the token already",
		"x-stripped: mine": "--header: x-stripped is removed by rule others",
		"X-Set: mine":      "--header: X-Set is set by rule others",
	} {
		if _, err := settingOf(t, conf, nil, "--header", header, corp); err == nil || err.Error() != want {
			t.Errorf("%s: %v", header, err)
		}
	}
	s, err := settingOf(t, conf, nil, corp)
	must(t, err)
	for _, rule := range s.cfg.Rules {
		if rule.Existing == "keep" {
			t.Errorf("rule %q keeps", rule.Name)
		}
	}
}

// A client of the proxy begins a lost session anew, if it is told: one of the
// bridge is told nothing but messages. What a rule leaves alone stays so.
func TestStdioHealsWhatAClientCannotBeginAnew(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]string{"heal": "heal", "normalise": "heal", "off": "off"} {
		s, err := settingOf(t, `
[audience.a]
token_env = "A"
[[rule]]
prefix = "https://mcp.corp.example/"
audience = "a"
kind = "mcp"
recover = "`+said+`"
`, nil, corp)
		must(t, err)
		if got := s.cfg.Rules[0].Recover; got != want {
			t.Errorf("%s: %s, want %s", said, got, want)
		}
	}
}

// The rule of a URL decides as it does in the proxy, whatever kind it is of; an
// audience that is named has the whole origin.
func TestStdioTakesTheRuleOfItsURL(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args     []string
		audience string // of a POST to the URL
		beside   string // of a POST to another path of the origin
	}{
		{[]string{corp}, "a", ""},
		{[]string{"https://MCP.corp.example:443/servers/x?key=s3cret"}, "a", ""},
		{[]string{"https://mcp.corp.example/servers/inner/x"}, "b", ""},
		{[]string{"--audience", "b", corp}, "b", "b"},
		{[]string{"--audience", "a", "https://elsewhere.example:8443/x"}, "a", "a"},
		{[]string{"--client-id", stdioTenant, corp}, config.SoleName, config.SoleName},
	} {
		s, err := settingOf(t, stdioRules, nil, tt.args...)
		must(t, err)
		table, index, err := s.cfg.Table()
		must(t, err)
		for path, want := range map[string]string{s.url.EscapedPath(): tt.audience, "/messages": tt.beside} {
			got := ""
			if v := table.Lookup(s.authority, "POST", path); v.Rule >= 0 {
				got = s.cfg.Rules[index[v.Rule]].Audience.Name
			}
			if got != want {
				t.Errorf("%q: %s: audience %q, want %q", tt.args, path, got, want)
			}
		}
		for _, rule := range s.cfg.Rules {
			if rule.Kind != "mcp" || rule.Prefixes[0].Authority() != s.authority {
				t.Errorf("%q: rule %+v", tt.args, rule)
			}
		}
	}
	s, err := settingOf(t, stdioRules, nil, "https://MCP.corp.example:443/servers/x?key=s3cret")
	must(t, err)
	if got := fmt.Sprint(s.url, s.url.Host); got != "https://mcp.corp.example/servers/x?key=s3cretmcp.corp.example" {
		t.Errorf("%s", got)
	}
	s, err = settingOf(t, stdioRules, nil, "--header", "Authorization: Basic x", "https://mcp.corp.example/keyed/x")
	must(t, err)
	if s.header.Get("Authorization") == "" {
		t.Error("a rule with a header of its own leaves Authorization to the user")
	}
}
