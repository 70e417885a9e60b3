package match_test

import (
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/match"
)

const host = "api.example:443"

// hostile are paths that some server takes to /admin/secret, or to somewhere
// else outside /v1, or that servers do not agree on.
var hostile = []string{
	// Other names, other case.
	"/admin/secret", "/", "", "*", "/v", "/v1-admin/secret", "/v1admin", "/V1/x", "/v1.", "/v1./x", "/v1%20/x", "/v1x/../admin/secret",
	"v1/x", "https://api.example/v1/x",
	// Dot segments as they are, before and behind.
	"/v1/../admin/secret", "/v1/..", "/v1/../", "/v1/./../admin/secret", "/v1/x/../../admin/secret",
	"/../admin/secret", "/../v1/x", "/admin/../v1/x", "/./v1/x", "/v1/../v1/../admin/secret", "/v1/x/.././../admin/secret",
	// Encoded dots, in either case and halves.
	"/v1/%2e%2e/admin/secret", "/v1/%2E%2E/admin/secret", "/v1/.%2e/admin/secret", "/v1/%2e./admin/secret", "/v1/%2e/%2e%2e/admin/secret",
	"/v1/%2e%2e", "/admin/%2e%2e/v1/x",
	// Encoded slashes.
	"/v1/..%2fadmin/secret", "/v1/..%2Fadmin%2Fsecret", "/v1%2f..%2fadmin/secret", "/v1/%2e%2e%2fadmin/secret", "/v1%2fx",
	"/v1/x%2f..%2f..%2fadmin/secret", "/%2e%2e%2fadmin/secret", "/v1/%2f..%2f..%2fadmin/secret",
	// Segments that encoded separators split or hold together.
	"/v1/a%2fb/%2e%2e/%2e%2e/admin/secret", "/v1/a%2Fb/../../admin/secret", "/v1/a%5Cb/../../admin/secret", `/v1/a\b/../../admin/secret`,
	"/v1/a%252Fb/%2e%2e/%2e%2e/admin/secret", "/v1/a%2Fb%5C..%5C..%5Cadmin%5Csecret",
	"/v1/%2e%2e%2f..%2f%2e%2e/admin/secret",
	// Backslashes.
	`/v1/..\admin/secret`, `/v1\..\admin\secret`, `/v1/..\..\admin\secret`, "/v1/..%5cadmin/secret", "/v1/%2e%2e%5Cadmin%5Csecret",
	`/v1/x\..\..\admin\secret`, `\v1\x`, `/\v1/x`, `/v1\x`, "/v1%5cx",
	// Slashes that are merged, or not.
	"/v1//../admin/secret", "/v1//../../admin/secret", "/v1///../../admin/secret", "//v1/x", "///v1/x", "//admin/secret", "/v1/%2f../admin/secret",
	"/v1/x//../../admin/secret", "//evil/v1/x", "/v1/..//admin/secret", `/v1/\../admin/secret`, "/v1/%5C../admin/secret",
	// Parameters.
	"/v1/..;/admin/secret", "/v1/..;x=y/admin/secret", "/v1/..%3b/admin/secret", "/v1/..%3Bx/admin/secret", "/v1/%2e%2e;/admin/secret",
	"/v1/..;/..;/admin/secret", "/v1/x;/..;/..;/admin/secret", "/v1;/../admin/secret", "/v1;x/y", "/v1/;/../admin/secret", "/v1/;a/..;b/admin/secret",
	"/v1/.;/..;/admin/secret", "/v1/..%253b/admin/secret", "/v1/..;%2fadmin/secret", "/;/v1/x",
	// Encoded two, three and four times.
	"/v1/%252e%252e/admin/secret", "/v1/%252e%252e%252fadmin/secret", "/v1/..%252fadmin/secret", "/v1/..%255cadmin/secret",
	"/v1/%25252e%25252e/admin/secret", "/v1/..%25252fadmin/secret", "/v1/%2525252e%2525252e/admin/secret", "/v1/..%2525252fadmin/secret",
	"/v1/%25%32%65%25%32%65/admin/secret", "/v1/%252e%2e/admin/secret", "/v1/%2e%2e/%252e%252e/admin/secret", "/%761/x", "/v%31/x", "/%2576%31/x",
	// Encoded deeper than anyone decodes.
	"/v1/%252525252e%252525252e/admin/secret", "/v1/..%252525252fadmin/secret", "/v1/%2525252541",
	// What decoding brings up and a second parser cuts at.
	"/v1/..%3f/../x", "/v1/..%23/../x", "/v1%3fx/y", "/v1/x/..%2f..%3f/y", "/v1/..%253f/../x",
	// Bytes and escapes that servers treat in ways of their own.
	"/v1/%00", "/v1/x%00/../admin/secret", "/v1/%0d%0aX-Evil:%201", "/v1/%0a", "/v1/%7f", "/v1/\x00", "/v1/\r\n", "/v1/a\tb", "/v1/%09", "/v1/\x7f", "/v1/%2500",
	"/v1/%c0%ae%c0%ae/admin/secret", "/v1/%c0%af../admin/secret", "/v1/%e0%80%ae%e0%80%ae/admin/secret", "/v1/%ff", "/v1/\xff", "/v1/\xc0\xae\xc0\xae/admin/secret",
	"/v1/%25c0%25ae", "/v1/%ed%a0%80", "/v1/%f4%90%80%80", "/v1/\xc3%a9", "/v1/caf%e9",
	"/v1/%u002e%u002e/admin/secret", "/v1/%25u002e%25u002e/admin/secret", "/v1/%", "/v1/%2", "/v1/%zz", "/v1/100%", "/v1/%%32%65%%32%65/admin/secret", "/v1/%2%65",
	"/v1/100%25/%252e%252e/admin/secret", "/v1/x#/../admin/secret", "/v1/#", "/v1/x?y", "/v1/a b",
}

// honest are paths that lie under /v1/ whoever reads them.
var honest = []string{
	"/v1", "/v1/", "/v1/x", "/v1/x/", "/v1/x/y.json", "/v1/index.html",
	"/v1//x", "/v1/x//y", "/v1/x//", "/v1///",
	"/v1/group%2Fproject", "/v1/group%2fproject/files/a%2Fb%2Fc.txt", "/v1/projects/a%252Fb", "/v1/C%3A%5CUsers%5Cme", `/v1/back\slash`,
	"/v1/a..b", "/v1/..a", "/v1/a..", "/v1/...", "/v1/....", "/v1/a./b", "/v1/.well-known/x", "/v1/.git", "/v1/a.b.c",
	"/v1/x/.", "/v1/./x", "/v1/x/../y", "/v1/x/%2e%2e/y", "/v1/a/b/../../c", "/v1/a/b/..%2fc",
	"/v1/x;v=1", "/v1/x;v=1/y", "/v1/x;v=1;w=2,3", "/v1/;v=1", "/v1/x%3Bv=1",
	"/v1/résumé", "/v1/r%C3%A9sum%C3%A9", "/v1/r%c3%a9sum%c3%a9", "/v1/%E6%97%A5%E6%9C%AC", "/v1/日本/本", "/v1/%F0%9F%98%80", "/v1/r%25C3%25A9sum%25C3%25A9",
	"/v1/100%25", "/v1/100%25/x", "/v1/100%25%20sure", "/v1/%25", "/v1/%25%25", "/v1/100%2525", "/v1/%25252541", "/v1/%25zz", "/v1/100%25%2Fx", "/v1/5%25;v=1",
	"/v1/~user", "/v1/%7Euser", "/v1/a%20b", "/v1/a+b", "/v1/a:b", "/v1/urn:x:y", "/v1/me@corp.example", "/v1/a=b&c=d", "/v1/a,b", "/v1/!$'()*", "/v1/models/gpt-4.1:generate",
	"/v1/drives/b%21x/root:/A%20%26%20B.txt:/content", "/v1/Packages(Id='a',Version='1')", "/v1/%28x%29", "/v1/what%3F", "/v1/C%23/x", "/v1/[x]", "/v1/{x}", "/v1/a|b", "/v1/%41",
	"/v1/" + strings.Repeat("long/", 4000), "/v1/" + strings.Repeat("%20", 2500),
}

func table(t testing.TB, rules ...match.Rule) *match.Table {
	t.Helper()
	tab, err := match.NewTable(rules)
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func TestHostilePathGetsNoToken(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"https://api.example/v1", "https://api.example/v1/"} {
		p := mustPrefix(t, url)
		tab := table(t, match.Rule{Prefix: p})
		for _, path := range hostile {
			if v := tab.Lookup(host, "GET", path); v.Rule != -1 || v.Reason == match.Matched {
				t.Errorf("Lookup(%q) = %v (%v), want no rule", path, v.Rule, v.Reason)
			}
			if p.Covers(host, path) {
				t.Errorf("%v covers %q", p, path)
			}
		}
	}
}

func TestHonestPathKeepsToken(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"https://api.example/v1", "https://api.example/v1/"} {
		p := mustPrefix(t, url)
		tab := table(t, match.Rule{Prefix: p})
		for _, path := range honest {
			if v := tab.Lookup(host, "GET", path); v.Rule != 0 || v.Reason != match.Matched {
				t.Errorf("Lookup(%.80q) = %v (%v), want the rule", path, v.Rule, v.Reason)
			}
			if !p.Covers(host, path) {
				t.Errorf("%v does not cover %.80q", p, path)
			}
		}
	}
}

// A path that one reading puts under one rule and another reading under the
// other belongs to neither.
func TestReadingsThatDisagreeGetNeitherRule(t *testing.T) {
	t.Parallel()
	tab := table(t,
		match.Rule{Prefix: mustPrefix(t, "https://api.example/a")},
		match.Rule{Prefix: mustPrefix(t, "https://api.example/a/b")},
		match.Rule{Prefix: mustPrefix(t, "https://api.example/")})
	for path, want := range map[string]int{
		"/a": 0, "/a/x": 0, "/a/bb": 0, "/a/x/../y": 0, "/a/x%2Fy": 0,
		"/a/b": 1, "/a/b/x": 1, "/a/b//x": 1, "/a/b/x%2F../y": 1,
		"": 2, "/": 2, "/x": 2, "/ab": 2, "/%2F": 2, "//": 2, "//x": 2, "/x%3Fy": 2,
		"/a/x/%2e%2e/b": -1, "/a/x/../b": -1, "/a/b/../x": -1, "/a/b/..": -1, "/a/b%2F..%2Fx": -1, "/a%2Fb": -1, "/a//b": -1, `/a\b`: -1, "/a/b;v=1": -1,
		"/a/%62": -1, "/a/b%3Fx": -1, "/a/x/%252e%252e/b": -1, "/a/./b": -1, "//a": -1, "/%61": -1, "//x/a/b": -1, "///x/a": -1, `/\x/a`: -1,
		"/a/c%2Fd/%2e%2e/b": -1, "/a/c%2Fd/%2e%2e/%2e%2e/e": -1, "/a/c%5Cd%2F..%2Fb": -1, "/a/x/..%2Fb/%2e%2e%2Fx": -1,
	} {
		v := tab.Lookup(host, "GET", path)
		if v.Rule != want {
			t.Errorf("Lookup(%q) = rule %d (%v), want %d", path, v.Rule, v.Reason, want)
		}
		if want < 0 && v.Reason != match.Ambiguous {
			t.Errorf("Lookup(%q): reason %v, want ambiguous", path, v.Reason)
		}
	}
}

// However much a path is made to cost, the answer comes, and it is no token.
func TestPathWithTooManyReadingsGetsNoToken(t *testing.T) {
	t.Parallel()
	tab := table(t, match.Rule{Prefix: mustPrefix(t, "https://api.example/v1")})
	for name, path := range map[string]string{
		"many readings": worstPath(),
		"long":          "/v1/%20" + strings.Repeat("x", 8<<10),
	} {
		if v := tab.Lookup(host, "GET", path); v != (match.Verdict{Rule: -1, Reason: match.TooLong}) {
			t.Errorf("%s: %v (%v), want TooLong", name, v.Rule, v.Reason)
		}
	}
}
