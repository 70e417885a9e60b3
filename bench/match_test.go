package bench_test

import (
	"fmt"
	"testing"

	"github.com/injectproxy/injectproxy/internal/match"
)

// The rules of BenchmarkMatch: a large company's, a hundred on each host.
const (
	ruleCount = 10_000
	hostCount = 100
)

func manyRules(b *testing.B) *match.Table {
	b.Helper()
	rules := make([]match.Rule, ruleCount)
	for i := range rules {
		rules[i].Prefix = parsePrefix(b, fmt.Sprintf("https://api-%d.corp.example/servers/team-%d/", i%hostCount, i))
	}
	table, err := match.NewTable(rules)
	if err != nil {
		b.Fatal(err)
	}
	return table
}

func parsePrefix(b *testing.B, s string) match.Prefix {
	b.Helper()
	p, err := match.ParsePrefix(s)
	if err != nil {
		b.Fatal(err)
	}
	return p
}

// BenchmarkMatch is what it takes to find the rule of a request. Each one asks
// for another rule, so that none is fast for having been asked for just now. An
// odd path has escapes that servers read in more than one way, and is read in
// all of them. How the number of hosts matters, and what the worst of paths
// costs, is measured in internal/match.
func BenchmarkMatch(b *testing.B) {
	b.Run(fmt.Sprintf("rules=%d", ruleCount), func(b *testing.B) {
		table := manyRules(b)
		for _, path := range []struct{ name, rest string }{
			{"ordinary", "mcp/messages/5f1c2d"},
			{"odd", "Sales%20Q3/r%C3%A9sum%C3%A9.pdf"},
		} {
			b.Run("path="+path.name, func(b *testing.B) {
				var authorities, paths [ruleCount]string
				for i := range paths {
					rule := i * 7919 % ruleCount
					authorities[i] = fmt.Sprintf("api-%d.corp.example:443", rule%hostCount)
					paths[i] = fmt.Sprintf("/servers/team-%d/%s", rule, path.rest)
				}
				b.ReportAllocs()
				for i := 0; b.Loop(); i = (i + 1) % ruleCount {
					if v := table.Lookup(authorities[i], "POST", paths[i]); v.Reason != match.Matched {
						b.Fatal(v.Reason)
					}
				}
			})
		}
	})
}

// BenchmarkAuthority is what it takes at a CONNECT to decide whether TLS ends
// here: the name as the client wrote it, made canonical and looked up.
func BenchmarkAuthority(b *testing.B) {
	table := manyRules(b)
	for _, test := range []struct {
		name, authority string
		want            bool
	}{
		{"ours", "api-42.corp.example:443", true},
		{"foreign", "www.example.com:443", false},
		{"odd", "API-42.Corp.Example.:443", true},
	} {
		b.Run("authority="+test.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				authority, err := match.Authority(test.authority)
				if err != nil || table.Intercepts(authority) != test.want {
					b.Fatal(authority, err)
				}
			}
		})
	}
}
