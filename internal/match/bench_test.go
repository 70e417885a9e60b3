package match_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/injectproxy/injectproxy/internal/match"
)

func mustPrefix(t testing.TB, s string) match.Prefix {
	t.Helper()
	p, err := match.ParsePrefix(s)
	if err != nil {
		t.Fatalf("ParsePrefix(%q): %v", s, err)
	}
	return p
}

// tenThousand returns rules spread over the given number of hosts.
func tenThousand(t testing.TB, hosts int) *match.Table {
	t.Helper()
	rules := make([]match.Rule, 10_000)
	for i := range rules {
		rules[i].Prefix = mustPrefix(t, fmt.Sprintf("https://api-%d.corp.example/servers/team-%d/", i%hosts, i))
	}
	table, err := match.NewTable(rules)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// Each lookup asks for another of the rules, so that none is fast for having
// been asked for just now.
func BenchmarkLookup(b *testing.B) {
	for _, hosts := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("rules=10000/hosts=%d", hosts), func(b *testing.B) {
			table := tenThousand(b, hosts)
			var authorities, paths [10_000]string
			for i := range paths {
				rule := i * 7919 % len(paths)
				authorities[i] = fmt.Sprintf("api-%d.corp.example:443", rule%hosts)
				paths[i] = fmt.Sprintf("/servers/team-%d/mcp/messages/5f1c2d", rule)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i = (i + 1) % len(paths) {
				if v := table.Lookup(authorities[i], "POST", paths[i]); v.Reason != match.Matched {
					b.Fatal(v)
				}
			}
		})
	}
}

// Paths that have to be read in every way: an honest one, and the worst that
// a client could think of.
func BenchmarkLookupAllReadings(b *testing.B) {
	table, err := match.NewTable([]match.Rule{{Prefix: mustPrefix(b, "https://api.example/v1/")}})
	if err != nil {
		b.Fatal(err)
	}
	for name, path := range map[string]string{
		"honest":  "/v1/Sales%20Q3/r%C3%A9sum%C3%A9.pdf",
		"hostile": worstPath(),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				table.Lookup("api.example:443", "GET", path)
			}
		})
	}
}

// worstPath has as many readings as fit, all of them under /v1, near the
// longest path that is looked at.
func worstPath() string {
	const piece = `a%2525252Fb;c/%252e%25252Fd%25255Ce\f%2525253Bg//h%2525253Fi/./`
	return "/v1/v1/v1/" + strings.Repeat(piece, 7900/len(piece))
}
