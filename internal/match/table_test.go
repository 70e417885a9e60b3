package match_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/injectproxy/injectproxy/internal/match"
)

func TestMethodDecidesAmongRulesOfTheLongestPrefixOnly(t *testing.T) {
	t.Parallel()
	tab := table(t,
		match.Rule{Prefix: mustPrefix(t, "https://api.example/")},
		match.Rule{Prefix: mustPrefix(t, "https://api.example/a"), Methods: []string{"GET", "HEAD"}},
		match.Rule{Prefix: mustPrefix(t, "https://api.example/a"), Methods: []string{"POST"}},
		match.Rule{Prefix: mustPrefix(t, "https://api.example/a/b"), Methods: []string{"POST"}},
		match.Rule{Prefix: mustPrefix(t, "https://other.example/x")})
	for _, tc := range []struct {
		method, path string
		want         match.Verdict
	}{
		{"GET", "/", match.Verdict{Rule: 0, Reason: match.Matched}},
		{"PATCH", "/x", match.Verdict{Rule: 0, Reason: match.Matched}},
		{"GET", "/a", match.Verdict{Rule: 1, Reason: match.Matched}},
		{"HEAD", "/a/x", match.Verdict{Rule: 1, Reason: match.Matched}},
		{"POST", "/a/x", match.Verdict{Rule: 2, Reason: match.Matched}},
		{"POST", "/a/b", match.Verdict{Rule: 3, Reason: match.Matched}},
		{"PUT", "/a/x", match.Verdict{Rule: -1, Reason: match.NoMethod}},
		{"get", "/a/x", match.Verdict{Rule: -1, Reason: match.NoMethod}},
		{"", "/a/x", match.Verdict{Rule: -1, Reason: match.NoMethod}},
		{"GET", "/a/b", match.Verdict{Rule: -1, Reason: match.NoMethod}},
		{"GET", "/a/x/../b", match.Verdict{Rule: -1, Reason: match.Ambiguous}},
		{"POST", "/a/%2e%2e/x", match.Verdict{Rule: -1, Reason: match.Ambiguous}},
	} {
		if got := tab.Lookup(host, tc.method, tc.path); got != tc.want {
			t.Errorf("%s %s: rule %d (%v), want rule %d (%v)", tc.method, tc.path, got.Rule, got.Reason, tc.want.Rule, tc.want.Reason)
		}
	}
}

func TestInterceptsOnlyAuthoritiesThatRulesName(t *testing.T) {
	t.Parallel()
	tab := table(t,
		match.Rule{Prefix: mustPrefix(t, "https://API.example./v1")},
		match.Rule{Prefix: mustPrefix(t, "https://[::1]:8443/"), Methods: []string{"GET"}})
	for authority, want := range map[string]bool{
		host: true, "[::1]:8443": true,
		"": false, "api.example": false, "api.example:8443": false, "[::1]:443": false, "x.api.example:443": false, "example:443": false,
		"api.example.evil.test:443": false,
	} {
		if got := tab.Intercepts(authority); got != want {
			t.Errorf("Intercepts(%q) = %v", authority, got)
		}
		if v := tab.Lookup(authority, "GET", "/none"); (v.Reason != match.NoAuthority) != want {
			t.Errorf("Lookup(%q): %v, but Intercepts says %v", authority, v.Reason, want)
		}
	}
}

func TestReasonSaysWhy(t *testing.T) {
	t.Parallel()
	tab := table(t, match.Rule{Prefix: mustPrefix(t, "https://api.example/v1"), Methods: []string{"GET"}})
	texts := make(map[string]bool)
	for reason, req := range map[match.Reason][3]string{
		match.Matched:     {host, "GET", "/v1"},
		match.NoAuthority: {"x.example:443", "GET", "/v1"},
		match.NoPrefix:    {host, "GET", "/v2"},
		match.NoMethod:    {host, "PUT", "/v1"},
		match.Ambiguous:   {host, "GET", "/v1/../x"},
		match.Undecodable: {host, "GET", "/v1/%00"},
		match.TooDeep:     {host, "GET", "/v1/%252525252541"},
		match.TooLong:     {host, "GET", worstPath()},
	} {
		v := tab.Lookup(req[0], req[1], req[2])
		if v.Reason != reason {
			t.Errorf("%.60q: %v, want %v", req, v.Reason, reason)
		}
		texts[v.Reason.String()] = true
	}
	if len(texts) != 8 || texts[match.Reason(99).String()] {
		t.Errorf("the texts of the reasons are not distinct: %v", texts)
	}
}

func TestZeroTableAndVerdictGrantNothing(t *testing.T) {
	t.Parallel()
	var tab match.Table
	if tab.Intercepts("") || tab.Intercepts(host) || tab.Lookup(host, "GET", "/") != (match.Verdict{Rule: -1}) {
		t.Error("the zero Table has rules")
	}
	if (match.Verdict{}).Reason == match.Matched {
		t.Error("the zero Verdict says that a rule matched")
	}
}

func TestRulesThatCompeteAreRefused(t *testing.T) {
	t.Parallel()
	a, slash, b := mustPrefix(t, "https://api.example/a"), mustPrefix(t, "https://API.example:443/a/"), mustPrefix(t, "https://api.example/b")
	get, post, both := []string{"GET"}, []string{"POST"}, []string{"POST", "GET"}
	for name, tc := range map[string]struct {
		rules []match.Rule
		want  [][2]int
	}{
		"same prefix, all methods":      {[]match.Rule{{Prefix: a}, {Prefix: b}, {Prefix: slash}}, [][2]int{{0, 2}}},
		"all methods, then one":         {[]match.Rule{{Prefix: a}, {Prefix: a, Methods: get}}, [][2]int{{0, 1}}},
		"methods, then all":             {[]match.Rule{{Prefix: a, Methods: post}, {Prefix: a, Methods: get}, {Prefix: slash}}, [][2]int{{0, 2}}},
		"one method in common":          {[]match.Rule{{Prefix: a, Methods: get}, {Prefix: a, Methods: both}}, [][2]int{{0, 1}}},
		"two pairs":                     {[]match.Rule{{Prefix: a}, {Prefix: b, Methods: get}, {Prefix: b, Methods: get}, {Prefix: a}}, [][2]int{{1, 2}, {0, 3}}},
		"other method":                  {[]match.Rule{{Prefix: a, Methods: get}, {Prefix: a, Methods: post}}, nil},
		"a method twice in one rule":    {[]match.Rule{{Prefix: a, Methods: []string{"GET", "GET"}}}, nil},
		"methods that differ in case":   {[]match.Rule{{Prefix: a, Methods: get}, {Prefix: a, Methods: []string{"get"}}}, nil},
		"other prefix, other authority": {[]match.Rule{{Prefix: a}, {Prefix: b}, {Prefix: mustPrefix(t, "https://api.example:8443/a")}}, nil},
	} {
		tab, err := match.NewTable(tc.rules)
		var conflict *match.ConflictError
		if errors.As(err, &conflict) != (tc.want != nil) || (tab == nil) != (tc.want != nil) {
			t.Errorf("%s: table %v, error %v", name, tab, err)
		} else if conflict != nil && !slices.Equal(conflict.Pairs, tc.want) {
			t.Errorf("%s: %v, want %v", name, conflict.Pairs, tc.want)
		}
	}
}

func TestRuleWithoutPrefixIsRefused(t *testing.T) {
	t.Parallel()
	if tab, err := match.NewTable([]match.Rule{{}}); err == nil || tab != nil {
		t.Errorf("NewTable of a rule without a prefix = %v, %v", tab, err)
	}
}

func TestOrdinaryLookupAllocatesNothing(t *testing.T) {
	tab := tenThousand(t, 10)
	p := mustPrefix(t, "https://api.example/servers/")
	allocs := testing.AllocsPerRun(100, func() {
		tab.Lookup("api-7.corp.example:443", "POST", "/servers/team-7777/mcp/.well-known/a..b~c:d@e")
		p.Covers(host, "/servers/x")
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// An ordinary request is judged for each of its layers, and pays for it.
func TestOrdinaryRequestIsJudgedWithoutMemory(t *testing.T) {
	table := tenThousand(t, 100)
	prefix := mustPrefix(t, "https://api-7.corp.example/servers/team-7/")
	for _, host := range []string{"api-7.corp.example:443", "127.0.0.1:8443"} {
		if n := testing.AllocsPerRun(100, func() { match.Authority(host) }); n != 0 {
			t.Errorf("authority %s: %v allocations", host, n)
		}
	}
	if n := testing.AllocsPerRun(100, func() {
		table.Lookup("api-7.corp.example:443", "POST", "/servers/team-7/mcp/messages/5f1c2d")
		prefix.Covers("api-7.corp.example:443", "/servers/team-7/mcp/messages/5f1c2d")
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
