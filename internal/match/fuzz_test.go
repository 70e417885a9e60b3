package match_test

import (
	"math/rand/v2"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/injectproxy/injectproxy/internal/match"
)

// worlds are the sets of rules that each path is tried under.
var worlds = [][]string{{"/v1"}, {"/v1", "/v1/b"}, {"/", "/v1", "/v1/b", "/b"}}

// judge fails the test if a rule is given to a path that some chain of servers
// takes to another rule's folder. It reports whether a rule was given at all.
func judge(t *testing.T, raw string) (granted bool) {
	t.Helper()
	var all map[string][]string
	for _, prefixes := range worlds {
		var rules []match.Rule
		for _, p := range prefixes {
			rules = append(rules, match.Rule{Prefix: mustPrefix(t, "https://api.example"+p)})
		}
		v := table(t, rules...).Lookup(host, "GET", raw)
		if (v.Reason == match.Matched) != (v.Rule >= 0) {
			t.Fatalf("Lookup(%q) = rule %d, %v", raw, v.Rule, v.Reason)
		}
		if v.Rule < 0 {
			continue
		}
		granted = true
		if !rules[v.Rule].Prefix.Covers(host, raw) {
			t.Fatalf("%q belongs to %v, which does not cover it", raw, rules[v.Rule].Prefix)
		}
		if all == nil {
			all = served(raw)
		}
		for leaves, chain := range all {
			if owner(prefixes, leaves) != v.Rule {
				t.Fatalf("%q belongs to rule %s of %q, but %q make %q of it", raw, prefixes[v.Rule], prefixes, chain, leaves)
			}
		}
	}
	return granted
}

func FuzzLookup(f *testing.F) {
	for _, path := range hostile {
		f.Add(path)
	}
	for _, path := range honest[:len(honest)-2] {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if len(raw) > 200 {
			t.Skip("longer paths have no other readings, only more of them")
		}
		judge(t, raw)
	})
}

// pieces are what confusing paths are made of.
var pieces = []string{
	"/", "/", "/", "/v1/", "/b/", "v1", "b", "x", "..", "/../", "/..", ".", "%2e", "%2e%2e", "%2f", "%5c", `\`, "//", ";", ";x", "%3b", "%3f", "%23",
	"%25", "%252e", "%252f", "%255c", "%253b", "%25252e", "%25252f", "%2525252f", "%2525", "2e", "2f", "%20", "%", "é", "%C3%A9", "%76", "%62", "/./", "..;",
}

func build(choices []byte) string {
	var path strings.Builder
	path.WriteString("/v1")
	for _, c := range choices {
		path.WriteString(pieces[int(c)%len(pieces)])
	}
	return path.String()
}

func FuzzLookupBuiltPaths(f *testing.F) {
	f.Add([]byte{0, 8, 1, 7})
	f.Fuzz(func(t *testing.T, choices []byte) {
		if len(choices) > 24 {
			t.Skip("long enough")
		}
		judge(t, build(choices))
	})
}

func TestNoChainOfServersLeavesThePrefix(t *testing.T) {
	t.Parallel()
	const paths = 3000
	random := rand.New(rand.NewPCG(1, 2))
	granted := 0
	for range paths {
		choices := make([]byte, 1+random.IntN(9))
		for i := range choices {
			choices[i] = byte(random.UintN(256))
		}
		if judge(t, build(choices)) {
			granted++
		}
	}
	if granted < paths/20 {
		t.Errorf("only %d of %d paths were granted: the test shows little", granted, paths)
	}
}

// The oracle has to be able to object: the checks that come to mind first fail
// before it.
func TestOracleCatchesNaiveChecks(t *testing.T) {
	t.Parallel()
	for name, check := range map[string]func(string) bool{
		"prefix of the path as it is": func(s string) bool { return owner([]string{"/v1"}, s) == 0 },
		"prefix of the cleaned path":  func(s string) bool { return owner([]string{"/v1"}, climb(decode(s))) == 0 },
	} {
		leaks := 0
		for _, raw := range hostile {
			for leaves := range served(raw) {
				if check(raw) && owner([]string{"/v1"}, leaves) != 0 {
					leaks++
					break
				}
			}
		}
		if leaks < 10 {
			t.Errorf("%s: %d leaks found, want at least 10", name, leaks)
		}
	}
}

// Any name at all may follow the prefix, if a client escapes it, unless it
// decodes once more, holds control characters or is made of dot segments.
var misleading = regexp.MustCompile(`%[0-9A-Fa-f]{2}|%[uU]|(^|[/\\])\.\.?($|[/\\;?#])`)

func FuzzHonestName(f *testing.F) {
	for _, name := range []string{"a b", "résumé.pdf", "100%", "C#/x", "a/b", `a\b`, "a;v=1", "what?", "..a", "a..b", "日本", "~", "+", "50% off"} {
		f.Add(name)
	}
	tab := table(f, match.Rule{Prefix: mustPrefix(f, "https://api.example/v1")})
	f.Fuzz(func(t *testing.T, name string) {
		if len(name) > 500 || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) || misleading.MatchString(name) {
			t.Skip("not an honest name")
		}
		raw := "/v1/" + url.PathEscape(name)
		if v := tab.Lookup(host, "GET", raw); v.Rule != 0 {
			t.Fatalf("the name %q, as %q, gets no rule: %v", name, raw, v.Reason)
		}
	})
}

func FuzzParsePrefix(f *testing.F) {
	for _, seed := range []string{"https://api.example/v1", "https://bücher.example/a%20b/日本/", "https://[::1]:8443/100%25", "https://a@b/?x#y", "https://api.example/%2e%2e/;*"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		p, err := match.ParsePrefix(in)
		if err != nil {
			if p != (match.Prefix{}) || strings.ContainsAny(err.Error(), "\r\n") {
				t.Fatalf("ParsePrefix(%q) = %v, %q", in, p, err)
			}
			return
		}
		if again, err := match.ParsePrefix(p.String()); err != nil || again != p {
			t.Fatalf("ParsePrefix(%q) = %v, which reads back as %v, %v", in, p, again, err)
		}
		// WHATWG's and Go's readers of URLs see the same path in it, and no
		// reader another one.
		u, err := url.Parse(in)
		if err != nil || !strings.EqualFold(u.Scheme, "https") || u.User != nil || u.RawQuery+u.Fragment != "" || u.ForceQuery || u.Opaque != "" {
			t.Fatalf("ParsePrefix(%q) = %v, which net/url reads as %v, %v", in, p, u, err)
		}
		back, err := url.Parse(p.String())
		if err != nil || strings.TrimSuffix(u.Path, "/") != strings.TrimSuffix(back.Path, "/") {
			t.Fatalf("ParsePrefix(%q) = %v, whose path is not %q", in, p, u.Path)
		}
		for leaves := range served(u.EscapedPath()) {
			if len(u.Path) < 200 && owner([]string{strings.TrimSuffix(u.Path, "/")}, decode(leaves)) != 0 && u.Path != "" && u.Path != "/" {
				t.Fatalf("ParsePrefix(%q) = %v, which some chain of servers makes %q of", in, p, leaves)
			}
		}
		raw := strings.TrimPrefix(p.String(), "https://"+strings.TrimSuffix(p.Authority(), ":443"))
		if len(raw) < 8<<10 && (!p.Covers(p.Authority(), raw) || !p.Covers(p.Authority(), raw+"x")) {
			t.Fatalf("%v does not cover itself (%q)", p, raw)
		}
		if !p.Within(p) {
			t.Fatalf("%v is not within itself", p)
		}
	})
}
