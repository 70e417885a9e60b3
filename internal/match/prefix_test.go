package match_test

import (
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/match"
)

func TestParsePrefixWritesCanonicalForm(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"https://api.example":                     "https://api.example/",
		"https://api.example/":                    "https://api.example/",
		"https://api.example/v1":                  "https://api.example/v1/",
		"https://api.example/v1/":                 "https://api.example/v1/",
		"HTTPS://API.Example.:443/V1":             "https://api.example/V1/",
		"https://api.example:8443/v1":             "https://api.example:8443/v1/",
		"https://bücher.example/日本":               "https://xn--bcher-kva.example/%E6%97%A5%E6%9C%AC/",
		"https://[2001:DB8::0:1]/x":               "https://[2001:db8::1]/x/",
		"https://api.example/a%20b":               "https://api.example/a%20b/",
		"https://api.example/%76%31/%7euser":      "https://api.example/v1/~user/",
		"https://api.example/b%21x":               "https://api.example/b!x/",
		"https://api.example/100%25":              "https://api.example/100%25/",
		"https://api.example/a..b/...":            "https://api.example/a..b/.../",
		"https://api.example/!$&'()+,=:@-._~":     "https://api.example/!$&'()+,=:@-._~/",
		"https://api.example/a%3Cb%22%5B%7B%7C1/": "https://api.example/a%3Cb%22%5B%7B%7C1/",
	} {
		p, err := match.ParsePrefix(in)
		if err != nil {
			t.Errorf("ParsePrefix(%q): %v", in, err)
			continue
		}
		if p.String() != want {
			t.Errorf("ParsePrefix(%q) = %v, want %v", in, p, want)
		}
		if again, err := match.ParsePrefix(p.String()); err != nil || again != p {
			t.Errorf("ParsePrefix(%v) = %v, %v; it is its own canonical form", p, again, err)
		}
	}
}

func TestParsePrefixRefuses(t *testing.T) {
	t.Parallel()
	for problem, inputs := range map[string][]string{
		"is not an absolute https URL": {"", "/v1", "api.example/v1", "http://api.example/v1", "//api.example/v1", "https:/api.example", "https:api.example", " https://api.example", "https", `https:\\api.example`, "wss://api.example"},
		"has no host":                  {"https://", "https:///v1", "https://:443/", "https://?", `https://\v1`},
		"has a query":                  {"https://api.example/v1?", "https://api.example?x=y", "https://api.example/v1?x=y#z"},
		"has a fragment":               {"https://api.example/v1#", "https://api.example#x", "https://api.example/v1#x?y"},
		"has userinfo":                 {"https://user@api.example/", "https://user:pass@api.example/v1", "https://@api.example/", "https://api.example:443@evil.example/"},
		"has a wildcard":               {"https://*.example/v1", "https://*/", "https://api.example/*", "https://api.example/v1/%2A"},
		"has a dot segment":            {"https://api.example/v1/../x", "https://api.example/.", "https://api.example/..", "https://api.example/%2e%2E/x", "https://api.example/v1/.%2e"},
		"has an encoded slash":         {"https://api.example/a%2Fb", "https://api.example/a%2fb", "https://api.example/a%5cb", "https://api.example/%5C"},
		"has a backslash":              {`https://api.example/v1\x`, `https://api.example\v1`},
		"has a path parameter":         {"https://api.example/v1;x", "https://api.example/;", "https://api.example/v1%3Bx"},
		"has an encoded '?' or '#'":    {"https://api.example/v1%3f", "https://api.example/C%23"},
		"has a control character":      {"https://api.example/\x00", "https://api.example/v1\n", "https://api.example/%00", "https://api.example/%7f", "https://api.example/\x7f"},
		"percent-encoded only":         {"https://api.example/a b", "https://api.example/v1 ", "https://api.example/<x>", "https://api.example/{id}", "https://api.example/a|b"},
		"malformed percent escape":     {"https://api.example/100%", "https://api.example/%zz", "https://api.example/%2", "https://api.example/%u0041"},
		"not valid UTF-8":              {"https://api.example/%ff", "https://api.example/\xff", "https://api.example/%c0%ae"},
		"percent-encoded twice":        {"https://api.example/%2561", "https://api.example/%252e%252e", "https://api.example/%25u0041"},
		"has an empty path segment":    {"https://api.example//", "https://api.example//v1", "https://api.example/v1//", "https://api.example/a//b"},
		"without brackets":             {"https://::1/", "https://2001:db8::1:443/v1"},
		"has a port":                   {"https://api.example:0/", "https://api.example:65536/", "https://api.example:/", "https://api.example:0443/"},
	} {
		for _, in := range inputs {
			p, err := match.ParsePrefix(in)
			if err == nil || !strings.Contains(err.Error(), problem) || !strings.HasPrefix(err.Error(), "prefix ") {
				t.Errorf("ParsePrefix(%q): error %v, want one that says %q", in, err, problem)
			}
			if p != (match.Prefix{}) {
				t.Errorf("ParsePrefix(%q) = %v beside its error", in, p)
			}
		}
	}
}

// A URL that is refused may hold a password or a signature; the message goes
// to logs.
func TestParsePrefixErrorRepeatsNoInput(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		"https://user:canary@api.example/", "http://user:canary@api.example/", "https://api.example/?sig=canary", "https://api.example/#canary",
		"https://api.example:canary/", "https://canary%/", "https://api.example/canary/..", "https://can ary/", "canary", "https://canarü_\u202e/", "https://[canary]/",
	} {
		_, err := match.ParsePrefix(in)
		if err == nil || strings.Contains(err.Error(), "canar") {
			t.Errorf("ParsePrefix(%q): error %v", in, err)
		}
	}
}

func TestPrefixCoversWholeSegments(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		prefix, authority, path string
		want                    bool
	}{
		{"https://api.example/mcp", host, "/mcp", true},
		{"https://api.example/mcp", host, "/mcp/", true},
		{"https://api.example/mcp", host, "/mcp/x", true},
		{"https://api.example/mcp", host, "/mcp-admin", false},
		{"https://api.example/mcp/", host, "/mcp", true},
		{"https://api.example/mcp/", host, "/mcp-admin", false},
		{"https://api.example/mcp/", host, "/mc", false},
		{"https://api.example/mcp", host, "/MCP", false},
		{"https://api.example/mcp", host, "/x/mcp", false},
		{"https://api.example", host, "/", true},
		{"https://api.example", host, "", true},
		{"https://api.example", host, "/x", true},
		{"https://api.example", host, "*", false},

		{"https://api.example/", "api.example:8443", "/", false},
		{"https://api.example/", "api.example.evil.test:443", "/", false},
		{"https://api.example/", "evil.api.example:443", "/", false},
		{"https://api.example/", "api.example", "/", false}, // not canonical
		{"https://api.example/", "API.example:443", "/", false},
		{"https://api.example/", "", "/", false},
		{"https://api.example:8443/", "api.example:8443", "/", true},

		// A prefix whose characters only escapes can carry.
		{"https://api.example/a%20b/é", host, "/a%20b/%C3%A9", true},
		{"https://api.example/a%20b/é", host, "/a%20b/%c3%a9/x", true},
		{"https://api.example/a%20b/é", host, "/a%20b/é/x", true},
		{"https://api.example/a%20b/é", host, "/a+b/é/x", false},
		{"https://api.example/a%20b/é", host, "/a%2520b/é/x", false},
		{"https://api.example/a%20b/é", host, "/a%20b/e\u0301/x", false},
		{"https://api.example/100%25", host, "/100%25/x", true},
		{"https://api.example/100%25", host, "/100%2525/x", false},
		{"https://api.example/drives/b%21x", host, "/drives/b!x/root", true},
		{"https://api.example/drives/b!x", host, "/drives/b%21x/root", true},
		{"https://api.example/~me", host, "/~me/x", true},
		{"https://api.example/~me", host, "/%7Eme/x", false}, // a server that routes on what is written is elsewhere
	} {
		p := mustPrefix(t, tc.prefix)
		if got := p.Covers(tc.authority, tc.path); got != tc.want {
			t.Errorf("%v covers %s %q: %v", p, tc.authority, tc.path, got)
		}
		v := table(t, match.Rule{Prefix: p}).Lookup(tc.authority, "GET", tc.path)
		if (v.Reason == match.Matched) != tc.want || (v.Rule == 0) != tc.want {
			t.Errorf("table of %v: Lookup(%s, %q) = %d (%v)", p, tc.authority, tc.path, v.Rule, v.Reason)
		}
	}
}

func TestWithin(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		inner, outer string
		want         bool
	}{
		{"https://api.example/a/b", "https://api.example/a", true},
		{"https://api.example/a", "https://api.example/a/", true},
		{"https://api.example/a", "https://api.example/", true},
		{"https://API.example:443/a", "https://api.example./", true},
		{"https://api.example/a", "https://api.example/a/b", false},
		{"https://api.example/ab", "https://api.example/a", false},
		{"https://api.example:444/a", "https://api.example/", false},
		{"https://x.api.example/a", "https://api.example/", false},
	} {
		inner, outer := mustPrefix(t, tc.inner), mustPrefix(t, tc.outer)
		if got := inner.Within(outer); got != tc.want {
			t.Errorf("%v within %v: %v", inner, outer, got)
		}
	}
}

func TestZeroPrefixCoversNothing(t *testing.T) {
	t.Parallel()
	var zero match.Prefix
	for _, path := range []string{"", "/", "/x", "/%20"} {
		if zero.Covers("", path) || zero.Covers(host, path) {
			t.Errorf("the zero Prefix covers %q", path)
		}
	}
	root := mustPrefix(t, "https://api.example/")
	if zero.Within(zero) || zero.Within(root) || root.Within(zero) {
		t.Error("the zero Prefix overlaps with something")
	}
	if zero.String() != "" || zero.Authority() != "" {
		t.Errorf("the zero Prefix is %q on %q", zero.String(), zero.Authority())
	}
}
