package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const inlineGUID = "58348f96-645d-4a2e-8c1d-000000000000"

func TestInlineRulesStandAlone(t *testing.T) {
	t.Parallel()
	c, problems := WithInline(nil, []Inline{
		{"https://a.example/", "token_env", "TOKEN"}, {"https://b.example/x", "token_file", "some/token"},
		{"https://b.example/y", "client_id", inlineGUID}, {"https://b.example/z", "resource", "https://r.example"},
		{"https://c.example/", "scope", "https://r.example/.default"},
	})
	wantProblems(t, problems)
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	a := make([]Audience, len(c.Rules))
	for i, rule := range c.Rules {
		a[i] = *rule.Audience
		if rule.Name != InlineName(i+1) || rule.Header != "Authorization" || rule.Scheme != "Bearer" || rule.Off != "" {
			t.Errorf("rule %d: %+v", i, rule)
		}
	}
	if a[0].TokenEnv != "TOKEN" || a[1].TokenFile != filepath.Join(wd, "some/token") || a[2].ClientID != inlineGUID ||
		a[3].Resource != "https://r.example" || a[4].Scope != "https://r.example/.default" {
		t.Errorf("audiences %+v", a)
	}
	if c.Token.Timeout == 0 || c.Retry.BodyLimit == 0 || c.Upstream.Proxy != "env" {
		t.Errorf("no defaults: %+v", c)
	}
	if got := outcome(t, c, "b.example:443", "GET", "/y/1"); got != "exec-3" {
		t.Errorf("b.example/y/1: %s", got)
	}
}

func TestInlineRulesAreHeldToTheSameAsThoseOfAFile(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("s3cret", 9)
	for _, tt := range []struct {
		rule Inline
		want string
	}{
		{Inline{"http://a.example/", "token_env", "X"}, "--rule 1: prefix is not an absolute https URL"},
		{Inline{"https://a.example/\n[team.x]", "token_env", "X"}, "--rule 1: prefix "},
		{Inline{"https://u:s3cret@a.example/", "token_env", "X"}, "--rule 1: prefix "},
		{Inline{"https://a.example/", "token_env", "X\nY"}, "--rule 1: token_env is not the name"},
		{Inline{"https://a.example/", "token_env", long + "."}, "--rule 1: token_env is not the name"},
		{Inline{"https://a.example/", "token_file", ""}, "--rule 1: "},
		{Inline{"https://a.example/", "client_id", long}, "--rule 1: client_id is not a GUID"},
		{Inline{"https://a.example/", "resource", "--debug"}, "--rule 1: resource has a character"},
		{Inline{"https://a.example/", "resource", "a b\"\nscope = \"x"}, "--rule 1: resource has a character"},
		{Inline{"https://a.example/", "scope", "-x/.default"}, "--rule 1: scope has a character"},
	} {
		c, problems := WithInline(nil, []Inline{tt.rule})
		if c != nil || len(problems) != 1 || !strings.HasPrefix(problems[0].String(), tt.want) {
			t.Errorf("%+v: %v, want %s", tt.rule, problems, tt.want)
		}
		for _, p := range problems {
			if strings.ContainsAny(p.String(), "\n") || strings.Contains(p.String(), "s3cret") {
				t.Errorf("%+v: shown: %q", tt.rule, p)
			}
		}
	}
}

func TestInlineRulesAreAddedToTheConfiguration(t *testing.T) {
	t.Parallel()
	base, problems := load(t, map[string]string{"config.toml": granting})
	wantProblems(t, problems)
	before := len(base.Rules)
	c, problems := WithInline(base, []Inline{{"https://own.example/deep", "token_env", "X"}})
	wantProblems(t, problems)
	for path, want := range map[string]string{"/deep": "exec-1", "/other": "http-1"} {
		if got := outcome(t, c, "own.example:443", "GET", path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	if len(base.Rules) != before || len(c.Rules) != before+1 {
		t.Error("the configuration itself was changed")
	}
	_, problems = WithInline(base, []Inline{{"https://own.example/", "token_env", "X"}})
	if len(problems) != 1 || !strings.Contains(problems[0].String(), "--rule 1: prefix https://own.example/ is taken by rule http-1 at "+base.File+":5") {
		t.Errorf("a prefix that is taken: %v", problems)
	}
}

// limited is a configuration with rules of one name in several places, and one
// rule within another.
var limited = map[string]string{
	"config.toml": granting + `[[rule]]
prefix = "https://own.example/inner/"
audience = "gateway"
name = "inner"
[[rule]]
prefix = "https://split.example/"
audience = "gateway"
methods = ["GET"]
name = "read"
[[rule]]
prefix = "https://split.example/"
audience = "vault"
methods = ["POST"]
name = "write"
`,
	"rules.d/alpha.toml": "team = \"alpha\"\n[[rule]]\nname = \"same\"\nprefix = \"https://shared.example/a/\"\naudience = \"gateway\"\n" +
		"[[rule]]\nname = \"alone\"\nprefix = \"https://alpha.example/\"\naudience = \"gateway\"",
	"rules.d/beta.toml": "team = \"beta\"\n[[rule]]\nname = \"same\"\nprefix = \"https://shared.example/b/\"\naudience = \"vault\"",
}

func TestOnlyLeavesTheNamedRules(t *testing.T) {
	t.Parallel()
	c, problems := load(t, limited)
	wantProblems(t, problems)
	all := map[string]string{ // a request, and the rule that decides
		"GET own.example/x": "http-1", "GET own.example/inner/x": "inner",
		"GET split.example/": "read", "POST split.example/": "write", "GET shared.example/a/own/x": "http-2",
		"GET shared.example/a/x": "alpha same", "GET alpha.example/": "alpha alone", "GET shared.example/b/": "beta same",
	}
	for _, tt := range []struct {
		only []string
		live []string // of the rules above
		off  []string // requests that are answered with 502
	}{
		{[]string{"http-1"}, []string{"http-1"}, []string{"GET own.example/inner/x"}},
		{[]string{"http-1", "inner"}, []string{"http-1", "inner"}, nil},
		{[]string{"inner"}, []string{"inner"}, nil},
		{[]string{"write"}, []string{"write"}, nil},
		{[]string{"alpha"}, []string{"alpha same", "alpha alone"}, []string{"GET shared.example/a/own/x"}},
		{[]string{"beta/same"}, []string{"beta same"}, nil},
		{[]string{"alone"}, []string{"alpha alone"}, nil},
	} {
		got, err := c.Only(tt.only...)
		if err != nil {
			t.Errorf("%q: %v", tt.only, err)
			continue
		}
		for request, rule := range all {
			method, url, _ := strings.Cut(request, " ")
			host, path, _ := strings.Cut(url, "/")
			want := "-"
			if slices.Contains(tt.live, rule) {
				want = rule
			} else if slices.Contains(tt.off, request) {
				want = "off "
			}
			if o := outcome(t, got, host+":443", method, "/"+path); o != want {
				t.Errorf("%q: %s: %q, want %q", tt.only, request, o, want)
			}
		}
	}
}

func TestOnlySaysWhatIsWrongWithAName(t *testing.T) {
	t.Parallel()
	files := map[string]string{"config.toml": limited["config.toml"] + "[team.inner]\nprefixes = [\"https://i.example/\"]\naudiences = [\"vault\"]\n" +
		"[team.empty]\nprefixes = [\"https://e.example/\"]\n"}
	for name, text := range limited {
		if name != "config.toml" {
			files[name] = text
		}
	}
	files["rules.d/inner.toml"] = "team = \"inner\"\n[[rule]]\nprefix = \"https://i.example/\"\naudience = \"vault\""
	c, problems := load(t, files)
	wantProblems(t, problems)
	for name, want := range map[string]string{
		"innner": `did you mean "inner"`, "same": "name alpha/same or beta/same", "inner": "both a rule and a team",
		"empty": "has no rules", "": "is empty", "gamma/same": "neither a rule nor a team",
	} {
		if got, err := c.Only(name); got != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", name, err, want)
		}
	}
}
