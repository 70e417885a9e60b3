package config

import (
	"strings"
	"testing"
)

func TestSoleRuleStandsAlone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		sole Sole
		want func(Audience) bool
	}{
		{Sole{Kind: "client_id", Value: inlineGUID, Tenant: "corp.example"}, func(a Audience) bool { return a.ClientID == inlineGUID && a.Tenant == "corp.example" }},
		{Sole{Kind: "resource", Value: "api://" + inlineGUID}, func(a Audience) bool { return a.Resource == "api://"+inlineGUID }},
		{Sole{Kind: "resource", Value: inlineGUID}, func(a Audience) bool { return a.Resource == inlineGUID }},
		{Sole{Kind: "scope", Value: "https://r.example//.default"}, func(a Audience) bool { return a.Scope == "https://r.example//.default" }},
		{Sole{Kind: "token_env", Value: "TOKEN"}, func(a Audience) bool { return a.TokenEnv == "TOKEN" }},
	} {
		tt.sole.Prefix = "https://a.example/"
		c, problems := WithSole(nil, tt.sole)
		for _, p := range problems {
			if !p.Warning {
				t.Errorf("%+v: %v", tt.sole, p)
			}
		}
		if c == nil {
			continue
		}
		rule := c.Rules[0]
		if len(c.Rules) != 1 || len(c.Audiences) != 1 || rule.Kind != "mcp" || rule.Recover != "heal" || rule.Unauthorized != "explain" ||
			rule.Name != SoleName || rule.Audience != c.Audiences[0] || !tt.want(*rule.Audience) || c.Token.Timeout == 0 {
			t.Errorf("%+v: rule %+v for %+v", tt.sole, rule, *rule.Audience)
		}
	}
}

func TestSoleRuleTakesThePlaceOfAllOthers(t *testing.T) {
	t.Parallel()
	base, problems := load(t, map[string]string{"config.toml": granting})
	wantProblems(t, problems)
	rules, audiences := len(base.Rules), len(base.Audiences)
	c, problems := WithSole(base, Sole{Prefix: "https://elsewhere.example/", Audience: "gateway"})
	wantProblems(t, problems)
	if len(c.Rules) != 1 || c.Rules[0].Audience.Name != "gateway" || outcome(t, c, "elsewhere.example:443", "POST", "/x") != SoleName {
		t.Errorf("%+v", c.Rules)
	}
	if c.File != base.File || len(base.Rules) != rules || len(base.Audiences) != audiences {
		t.Error("the configuration itself was changed")
	}
}

// What is wrong is told with the flag or the variable that it stands in, and is
// never shown.
func TestSoleRuleIsHeldToTheSameAsOneOfAFile(t *testing.T) {
	t.Parallel()
	base, problems := load(t, map[string]string{"config.toml": granting})
	wantProblems(t, problems)
	long := strings.Repeat("s3cret", 9)
	for _, tt := range []struct {
		sole Sole
		want string
	}{
		{Sole{Audience: "gatewy"}, `--value: audience "gatewy" is not defined: did you mean "gateway"?`},
		{Sole{Kind: "client_id", Value: long}, "--value: client_id is not a GUID"},
		{Sole{Kind: "client_id", Value: "api://" + inlineGUID}, "--value: client_id is an App ID URI"},
		{Sole{Kind: "resource", Value: "a b s3cret"}, "--value: resource has a character"},
		{Sole{Kind: "scope", Value: "--s3cret"}, "--value: scope has a character"},
		{Sole{Kind: "token_env", Value: long + "."}, "--value: token_env is not the name"},
		{Sole{Kind: "scope", Value: "x/.default", Tenant: "common"}, `--tenant: tenant "common" names no single tenant`},
		{Sole{Kind: "scope", Value: "x/.default", Tenant: "s3cret"}, "--tenant: tenant is neither"},
		{Sole{Prefix: "https://u:s3cret@a.example/", Kind: "token_env", Value: "X"}, "the URL: prefix "},
	} {
		if tt.sole.Prefix == "" {
			tt.sole.Prefix = "https://a.example/"
		}
		tt.sole.PrefixAt, tt.sole.AudienceAt, tt.sole.ValueAt, tt.sole.TenantAt = "the URL", "--value", "--value", "--tenant"
		c, problems := WithSole(base, tt.sole)
		if c != nil || len(problems) != 1 || !strings.HasPrefix(problems[0].String(), tt.want) {
			t.Errorf("%+v: %v, want %s", tt.sole, problems, tt.want)
		}
		for _, p := range problems {
			if strings.Contains(p.String()+p.Hint, "s3cret") {
				t.Errorf("%+v: shown: %q", tt.sole, p)
			}
		}
	}
}

// A configuration within an authority decides there as the whole one does.
func TestRulesOfOneAuthorityDecideAsAllDo(t *testing.T) {
	t.Parallel()
	base, problems := load(t, limited)
	wantProblems(t, problems)
	for _, request := range []string{
		"GET own.example/x", "GET own.example/inner/x", "GET split.example/", "POST split.example/", "DELETE split.example/",
		"GET shared.example/a/x", "GET shared.example/a/own/x", "POST shared.example/b/", "GET shared.example/",
	} {
		method, url, _ := strings.Cut(request, " ")
		host, path, _ := strings.Cut(url, "/")
		c := base.Within(host + ":443")
		if want, got := outcome(t, base, host+":443", method, "/"+path), outcome(t, c, host+":443", method, "/"+path); got != want {
			t.Errorf("%s: %q, want %q", request, got, want)
		}
		for _, rule := range c.Rules {
			if rule.Kind != "mcp" || rule.Prefixes[0].Authority() != host+":443" {
				t.Errorf("%s: %+v", request, rule)
			}
		}
		if len(c.Audiences) == 0 || len(c.Audiences) > 2 || len(base.Rules) < 8 || base.Rules[0].Kind != "http" {
			t.Errorf("%s: %d audiences; of the whole: %+v", request, len(c.Audiences), base.Rules[0])
		}
	}
}

func TestUpstreamProxyCanBeOverridden(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"env": "", "direct": "", "http://u:s3cret@proxy.example:3128": "", "": "it is neither", "proxy.example:3128": "it is neither",
		"socks5://u:s3cret@proxy.example": "it must be an http or https URL", "http://u:s3cret@proxy.example/x": "it must be a URL without path",
	} {
		c := &Config{}
		err := c.OverrideUpstreamProxy(s)
		switch {
		case want == "" && err != nil, want != "" && (err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "s3cret")):
			t.Errorf("%q: %v, want %q", s, err, want)
		case want == "" && (c.Upstream.Proxy == "url") != (c.Upstream.URL != nil):
			t.Errorf("%q: %+v", s, c.Upstream)
		}
	}
}
